//! From what the store and the disk say to the port's words.

use std::error::Error as _;
use std::io;
use std::path::Path;

use loa_ports::audience::DatasetError;

/// The object store did not do it.
pub(crate) fn fault(doing: impl Into<String>, error: object_store::Error) -> DatasetError {
    let doing = format!("{} in the object store", doing.into());
    DatasetError::Storage { doing, source: io::Error::other(told(&error)) }
}

/// The disk did not do it.
pub(crate) fn local<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> DatasetError + 'a {
    move |source| DatasetError::Storage {
        doing: format!("{doing} {}", path.file_name().unwrap_or_default().display()),
        source,
    }
}

/// An error with what is behind it, each said once.
pub(crate) fn told(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        behind = cause.source();
    }
    text
}
