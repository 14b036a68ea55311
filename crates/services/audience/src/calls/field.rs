//! Checks that several calls share.

use loa_runtime::rpc::Violations;
use tonic::Status;
use uuid::Uuid;

/// Characters of a dataset's name, at most.
const NAME_CHARS_MAX: usize = 64;

/// A dataset's name: 1 to 64 of `a-z 0-9 - _`.
pub(super) fn dataset(field: &str, name: &str, faults: &mut Violations) {
    let legal = |found: u8| found.is_ascii_lowercase() || found.is_ascii_digit() || found == b'-' || found == b'_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(legal) {
        faults.add(field, format!("1 to {NAME_CHARS_MAX} of a-z, 0-9, - and _; choose such a name"));
    }
}

/// An id.
pub(super) fn id(field: &str, text: &str, faults: &mut Violations) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok();
    if id.is_none() {
        faults.add(field, "not a UUID such as 01999999-0000-7000-8000-000000000000");
    }
    id
}

/// A short text without control characters.
pub(super) fn text(field: &str, text: &str, chars_max: usize, faults: &mut Violations) {
    if text.chars().count() > chars_max || text.chars().any(char::is_control) {
        faults.add(field, format!("at most {chars_max} characters and no line break; shorten it"));
    }
}

/// There is no such dataset.
pub(super) fn no_dataset(name: &str) -> Status {
    Status::not_found(format!(
        "there is no dataset `{name}`; ListDatasets shows what there is, ImportDataset makes one"
    ))
}
