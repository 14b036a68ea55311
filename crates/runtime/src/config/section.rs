//! Reads one section key by key, and notes every fault instead of stopping at the first.
//!
//! Must stay true: a key that nobody asked for is a fault (a typing error must not pass in silence).

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;

use super::layers::{Layers, Origin};

/// One fault of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Dotted key.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
    /// Where the value came from.
    pub origin: Origin,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (from {})", self.key, self.message, self.origin)
    }
}

/// A section being read.
pub struct Section<'a> {
    path: String,
    table: RefCell<toml::Table>,
    layers: &'a Layers,
    faults: &'a RefCell<Vec<Fault>>,
}

impl<'a> Section<'a> {
    /// The whole configuration.
    pub fn root(layers: &'a Layers, faults: &'a RefCell<Vec<Fault>>) -> Self {
        Self { path: String::new(), table: RefCell::new(layers.table.clone()), layers, faults }
    }

    /// Notes a fault of a key.
    pub fn fault(&self, key: &str, message: impl Into<String>) {
        let key = self.key(key);
        let origin = self.layers.origin(&key);
        self.faults.borrow_mut().push(Fault { key, message: message.into(), origin });
    }

    /// A section below; empty if it is not there.
    pub fn section(&self, name: &str) -> Section<'a> {
        let table = match self.take(name) {
            Some(Value::Table(table)) => table,
            None => toml::Table::new(),
            Some(_) => {
                self.fault(name, "must be a section");
                toml::Table::new()
            }
        };
        Section { path: self.key(name), table: RefCell::new(table), layers: self.layers, faults: self.faults }
    }

    /// Whether the key is there.
    pub fn has(&self, name: &str) -> bool {
        self.table.borrow().contains_key(name)
    }

    /// Names of what is left.
    pub fn names(&self) -> Vec<String> {
        self.table.borrow().keys().cloned().collect()
    }

    /// A text; a fault if it is missing.
    pub fn text(&self, name: &str) -> String {
        self.optional_text(name).unwrap_or_else(|| {
            self.fault(name, "is missing; write a text");
            String::new()
        })
    }

    /// A text, if it is there.
    pub fn optional_text(&self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Integer(number) => Some(number.to_string()),
            other => {
                self.fault(name, format!("must be a text, not {}", other.type_str()));
                None
            }
        }
    }

    /// A list of texts; empty if it is not there.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let list = value
            .as_array()
            .map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
        list.flatten().unwrap_or_else(|| {
            self.fault(name, "must be a list of texts, e.g. [\"a\", \"b\"]");
            Vec::new()
        })
    }

    /// A list of whole numbers; empty if it is not there.
    pub fn numbers(&self, name: &str, range: RangeInclusive<u32>) -> Vec<u32> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let number = |item: &Value| {
            item.as_integer().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number))
        };
        let list = value.as_array().map(|items| items.iter().map(number).collect::<Option<Vec<_>>>());
        list.flatten().unwrap_or_else(|| {
            self.fault(name, format!("must be a list of whole numbers from {} to {}", range.start(), range.end()));
            Vec::new()
        })
    }

    /// A whole number within a range; a fault if it is missing.
    pub fn number(&self, name: &str, range: RangeInclusive<u32>) -> u32 {
        let value = self.take(name);
        let number = value.as_ref().and_then(Value::as_integer).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let given = value.map_or_else(|| "is missing".to_owned(), |value| format!("`{value}` is not allowed"));
            self.fault(name, format!("{given}; use a whole number from {} to {}", range.start(), range.end()));
            *range.start()
        })
    }

    /// A number within a range; a fault if it is missing.
    pub fn float(&self, name: &str, range: RangeInclusive<f64>) -> f64 {
        let value = self.take(name);
        #[allow(clippy::cast_precision_loss, reason = "configured rates are far below 2^52")]
        let number =
            value.as_ref().and_then(|value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64)));
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let given = value.map_or_else(|| "is missing".to_owned(), |value| format!("`{value}` is not allowed"));
            self.fault(name, format!("{given}; use a number from {} to {}", range.start(), range.end()));
            *range.start()
        })
    }

    /// A duration in milliseconds within a range.
    pub fn millis(&self, name: &str, range: RangeInclusive<u32>) -> Duration {
        Duration::from_millis(u64::from(self.number(name, range)))
    }

    /// True or false.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.take(name);
        value.as_ref().and_then(Value::as_bool).unwrap_or_else(|| {
            self.fault(name, "must be true or false");
            false
        })
    }

    /// A value of a closed set or other parsed type.
    pub fn parsed<T>(&self, name: &str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: fmt::Display,
    {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|error: T::Err| self.fault(name, error.to_string())).ok()
    }

    /// Notes what nobody asked for.
    pub fn finish(self) {
        for name in self.names() {
            self.fault(
                &name,
                "is not known here; remove it or correct its spelling (`loa config show` lists every key)",
            );
        }
    }

    /// Takes an array of tables (`[[user]]`).
    pub fn tables(&self, name: &str) -> Vec<Section<'a>> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.fault(name, format!("must be written [[{name}]]"));
            return Vec::new();
        };
        let section = |(at, item): (usize, Value)| match item {
            Value::Table(table) => Some(Section {
                path: self.key(&format!("{name}[{at}]")),
                table: RefCell::new(table),
                layers: self.layers,
                faults: self.faults,
            }),
            _ => {
                self.fault(name, format!("must be written [[{name}]]"));
                None
            }
        };
        items.into_iter().enumerate().filter_map(section).collect()
    }

    fn take(&self, name: &str) -> Option<Value> {
        self.table.borrow_mut().remove(name)
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}
