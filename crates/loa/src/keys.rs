//! The demo users of `loa dev` and the system key, made at the first start and kept in `<data>/keys.toml`, 0600.
//!
//! Must stay true: a key is printed only into that file; the configuration holds hashes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use loa_runtime::config::UserConfig;
use loa_runtime::grpc::key_hash;
use loa_runtime::rpc::Right;
use uuid::Uuid;

/// The name under which roles call each other.
pub const SYSTEM: &str = "system";

const DEMO_USERS: [(&str, &[Right]); 5] = [
    ("author", &[Right::Author]),
    ("approver", &[Right::Approver]),
    ("operator", &[Right::Operator]),
    ("viewer", &[Right::Viewer]),
    (SYSTEM, &[Right::System]),
];

/// Keys by user.
#[derive(Debug, Clone, Default)]
pub struct Keys(BTreeMap<String, String>);

impl Keys {
    /// Reads `<data>/keys.toml`.
    pub fn read(data: &Path) -> Result<Self, String> {
        let path = data.join("keys.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            format!("`{}` cannot be read ({error}); it is made by the first start of `loa dev`", path.display())
        })?;
        toml::from_str(&text).map(Self).map_err(|error| format!("`{}` is not a list of keys: {error}", path.display()))
    }

    /// Reads the file, or makes it with a key for each demo user.
    pub fn read_or_make(data: &Path) -> Result<Self, String> {
        if data.join("keys.toml").exists() {
            return Self::read(data);
        }
        let keys: BTreeMap<_, _> = DEMO_USERS.iter().map(|(user, _)| ((*user).to_owned(), draw())).collect();
        let text = toml::to_string(&keys).map_err(|error| error.to_string())?;
        write_private(
            &data.join("keys.toml"),
            &format!("# Keys of the demo users; `loa --as USER` reads them here.\n{text}"),
        )
        .map_err(|error| format!("`{}` cannot be written: {error}", data.join("keys.toml").display()))?;
        Ok(Self(keys))
    }

    /// The key of a user.
    pub fn of(&self, user: &str) -> Option<&str> {
        self.0.get(user).map(String::as_str)
    }

    /// Names of all users.
    pub fn users(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The demo users as configuration.
    pub fn demo_users(&self) -> Vec<UserConfig> {
        let user = |(name, rights): &(&str, &[Right])| {
            let key = self.of(name)?;
            Some(UserConfig { name: (*name).to_owned(), key_sha256: key_hash(key), rights: rights.to_vec() })
        };
        DEMO_USERS.iter().filter_map(user).collect()
    }
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// 244 random bits as hexadecimal digits.
fn draw() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_read_again() {
        let data = tempfile::tempdir().unwrap();
        let made = Keys::read_or_make(data.path()).unwrap();
        let read = Keys::read_or_make(data.path()).unwrap();
        assert_eq!(made.of("author"), read.of("author"));
        let mode = std::fs::metadata(data.path().join("keys.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read.demo_users().len(), 5);
    }
}
