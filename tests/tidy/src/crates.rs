//! Which crate uses which, as the Cargo.toml files say it.
//!
//! Dependencies of tests do not count: a crate is tested with whatever helps.

use std::collections::BTreeMap;

use crate::File;

/// A dependency, both ends by folder below `crates/` or `tests/`; what is not ours is called by its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// Whether the other end is a crate of this tree.
    pub ours: bool,
}

/// Every dependency of a crate below `crates/`.
pub fn edges(files: &[File]) -> Vec<Edge> {
    let manifests: Vec<(String, toml::Table)> = files.iter().filter_map(manifest).collect();
    let folders: BTreeMap<String, String> =
        manifests.iter().filter_map(|(folder, table)| Some((package(table)?, folder.clone()))).collect();
    let mut edges = Vec::new();
    for (from, table) in &manifests {
        let uses = table.get("dependencies").and_then(toml::Value::as_table);
        for name in uses.into_iter().flat_map(toml::Table::keys) {
            let folder = folders.get(name);
            let to = folder.unwrap_or(name).clone();
            edges.push(Edge { from: from.clone(), to, ours: folder.is_some() });
        }
    }
    edges
}

fn manifest(file: &File) -> Option<(String, toml::Table)> {
    let folder = file.path.strip_suffix("/Cargo.toml")?.strip_prefix("crates/")?;
    let table = file.text.parse().unwrap_or_else(|error| panic!("{} is no TOML: {error}", file.path));
    Some((folder.to_owned(), table))
}

fn package(table: &toml::Table) -> Option<String> {
    Some(table.get("package")?.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_manifests() {
        let files = [
            File::new("crates/domain/Cargo.toml", "[package]\nname = \"loa-domain\"\n"),
            File::new(
                "crates/wire/smpp/Cargo.toml",
                "[package]\nname = \"loa-wire-smpp\"\n[dependencies]\nloa-domain.workspace = true\nbytes = \"1\"\n\
                 [dev-dependencies]\nrusmpp = \"1\"\n",
            ),
            File::new("tests/e2e/Cargo.toml", "[package]\nname = \"loa-e2e\"\n[dependencies]\nbytes = \"1\"\n"),
        ];
        let found = edges(&files);
        let found: Vec<_> = found.iter().map(|edge| (edge.from.as_str(), edge.to.as_str(), edge.ours)).collect();
        assert_eq!(found, [("wire/smpp", "bytes", false), ("wire/smpp", "domain", true)]);
    }
}
