//! What the tests of the tree have in common: its files, the production part of a source, its crates.
//!
//! The rules themselves are in `tests/`, one file a subject. Each rule is a function over plain data, so that a test can
//! also show it a fault and see it found.
//!
//! Must stay true: only what belongs to the tree is looked at, never what a build or a run left in it.

pub mod crates;
pub mod longest;
pub mod source;

use std::fs;
use std::path::{Path, PathBuf};

/// What builds, runs and version control leave in the tree.
const LEFT_OUT: &[&str] = &["target", ".git", "loa-data", "corpus"];

/// A text file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// From the root, with `/` between the parts.
    pub path: String,
    pub text: String,
}

impl File {
    /// A file that exists only in a test.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// The root of the tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text file of the tree, by path.
pub fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 100, "the tree at {} has only {} files", root.display(), files.len());
    files
}

/// One file of the tree.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("could not read {path}: {error}"))
}

/// Panics with one line per fault.
#[track_caller]
pub fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn collect(directory: &Path, under: &str, files: &mut Vec<File>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("could not list `{under}`: {error}"));
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let path = if under.is_empty() { name } else { format!("{under}/{name}") };
        if entry.path().is_dir() {
            collect(&entry.path(), &path, files);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
}
