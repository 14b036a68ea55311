//! What a refused call said.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The faulty fields of an INVALID_ARGUMENT, in order; each has a description.
#[track_caller]
pub fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let faults = status.get_details_bad_request().expect("details").field_violations;
    assert!(faults.iter().all(|fault| !fault.description.is_empty()), "{faults:?}");
    faults.into_iter().map(|fault| fault.field).collect()
}
