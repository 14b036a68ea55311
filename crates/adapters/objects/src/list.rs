//! `complete.json`: the files an artefact is made of.

use loa_ports::audience::{Kept, KeptFile};
use serde::{Deserialize, Serialize};

/// The format written now.
const FORMAT: u32 = 1;

/// The object's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    format: u32,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

impl List {
    pub(crate) fn of(kept: &Kept) -> Self {
        let entry = |file: &KeptFile| Entry { name: file.name.clone(), bytes: file.bytes, sha256: hex(&file.sha256) };
        Self { format: FORMAT, files: kept.files.iter().map(entry).collect() }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_else(|error| unreachable!("names and numbers are JSON: {error}"))
    }

    /// Reads it; the error says what is wrong with it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let list: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if list.format != FORMAT {
            return Err(format!("its format is {}, this program reads {FORMAT}", list.format));
        }
        match list.files.iter().find(|file| !is_plain(&file.name) || unhex(&file.sha256).is_none()) {
            Some(odd) => Err(format!("{:?} names no file with its SHA-256", odd.name)),
            None => Ok(list),
        }
    }

    pub(crate) fn into_kept(self) -> Kept {
        let kept = |file: Entry| Some(KeptFile { sha256: unhex(&file.sha256)?, name: file.name, bytes: file.bytes });
        Kept { files: self.files.into_iter().filter_map(kept).collect() }
    }
}

/// A name of a file in its folder, not a way to another.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
