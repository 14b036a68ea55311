//! Layers of configuration: the embedded default, an overlay, the operator's file, the environment; and where each value
//! came from.
//!
//! Must stay true: a later layer replaces single values, never whole sections; every value knows its origin.

use std::collections::BTreeMap;
use std::fmt;

use toml::Value;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded default file.
    Default,
    /// A file and line.
    File {
        /// As given on the command line.
        name: String,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// The command line.
    Argument(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Argument(name) => f.write_str(name),
        }
    }
}

/// The merged values with their origins.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The merged table.
    pub table: toml::Table,
    /// Origin by dotted key.
    pub origins: BTreeMap<String, Origin>,
}

/// A layer that cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}: {message}")]
pub struct LayerError {
    name: String,
    line: usize,
    message: String,
}

impl Layers {
    /// Lays a TOML text over what is there.
    pub fn add_toml(&mut self, name: &str, text: &str, is_default: bool) -> Result<(), LayerError> {
        let fault = |error: toml::de::Error| LayerError {
            name: name.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        };
        let spanned = toml::de::DeTable::parse(text).map_err(fault)?;
        let table: toml::Table = toml::from_str(text).map_err(fault)?;
        let mut lines = BTreeMap::new();
        lines_of(spanned.get_ref(), "", text, &mut lines);
        let origin = |key: &str| match is_default {
            true => Origin::Default,
            false => Origin::File { name: name.to_owned(), line: lines.get(key).copied().unwrap_or(1) },
        };
        self.merge(table, "", &origin);
        Ok(())
    }

    /// Lays variables of the form `LOA__SECTION__KEY` over what is there; values are TOML, or else text.
    pub fn add_variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in variables {
            let Some(path) = name.strip_prefix("LOA__") else { continue };
            let key = path.to_lowercase().replace("__", ".");
            self.set(&key, value_of(&text), Origin::Variable(name.clone()));
        }
    }

    /// Sets one value by dotted key.
    pub fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let mut table = &mut self.table;
        let mut path: Vec<&str> = key.split('.').collect();
        let Some(last) = path.pop() else { return };
        for part in path {
            let entry = table.entry(part).or_insert_with(|| Value::Table(toml::Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(toml::Table::new());
            }
            match entry {
                Value::Table(inner) => table = inner,
                _ => return,
            }
        }
        table.insert(last.to_owned(), value);
        self.origins.insert(key.to_owned(), origin);
    }

    /// The origin of a key, or of the section that holds it.
    pub fn origin(&self, key: &str) -> Origin {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return origin.clone();
            }
            match key.rsplit_once('.') {
                Some((section, _)) => key = section,
                None => return Origin::Default,
            }
        }
    }

    fn merge(&mut self, table: toml::Table, prefix: &str, origin: &dyn Fn(&str) -> Origin) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) if inner.is_empty() => self.set(&key, Value::Table(inner), origin(&key)),
                Value::Table(inner) => self.merge(inner, &key, origin),
                value => self.set(&key, value, origin(&key)),
            }
        }
    }
}

fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

fn lines_of(table: &toml::de::DeTable<'_>, prefix: &str, text: &str, lines: &mut BTreeMap<String, usize>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        lines.insert(key.clone(), line_of(text, name.span().start));
        if let toml::de::DeValue::Table(inner) = value.get_ref() {
            lines_of(inner, &key, text, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_replace_single_values() {
        let mut layers = Layers::default();
        layers.add_toml("default", "[sms]\nwindow = 10\nname = \"a\"\n", true).unwrap();
        layers.add_toml("loa.toml", "\n[sms]\nwindow = 20\n", false).unwrap();
        layers.add_variables([("LOA__SMS__NAME".to_owned(), "b".to_owned()), ("HOME".to_owned(), "x".to_owned())]);
        assert_eq!(layers.table["sms"]["window"].as_integer(), Some(20));
        assert_eq!(layers.table["sms"]["name"].as_str(), Some("b"));
        assert_eq!(layers.origin("sms.window").to_string(), "loa.toml:3");
        assert_eq!(layers.origin("sms.name").to_string(), "$LOA__SMS__NAME");
    }

    #[test]
    fn a_broken_file_names_its_line() {
        let error = Layers::default().add_toml("loa.toml", "[sms]\nwindow = = 3\n", false).unwrap_err();
        assert!(error.to_string().starts_with("loa.toml:2: "), "{error}");
    }
}
