//! What a caller is told when the engine cannot do it.
//!
//! Must stay true: every faulty field is named at once; what only an operator can mend goes to our log with its cause.

use loa_ports::audience::{DatasetError, Fault};
use loa_runtime::rpc::{Violations, store_status};
use loa_runtime::service::Chain;
use tonic::Status;

/// The engine's error as a status.
pub(crate) fn dataset_status(error: &DatasetError) -> Status {
    match error {
        DatasetError::Refused { faults } => faulty(faults),
        DatasetError::Missing { .. } => Status::not_found(error.to_string()),
        DatasetError::Stopped => Status::unavailable("this process is stopping; try again"),
        DatasetError::Suppressions(error) => store_status(error),
        DatasetError::Storage { .. } => {
            tracing::error!(error = %Chain(error), "the data directory or the object store does not take or give its files");
            Status::unavailable(
                "the data directory or the object store does not answer; see the log of this node and try again",
            )
        }
        DatasetError::Damaged { .. } => {
            tracing::error!(error = %Chain(error), "a stored file is damaged");
            Status::data_loss("a stored file is damaged; see the log of this node, then import or submit again")
        }
    }
}

/// INVALID_ARGUMENT with every fault.
pub(crate) fn faulty(faults: &[Fault]) -> Status {
    let mut violations = Violations::new();
    faults.iter().for_each(|fault| violations.add(fault.field.clone(), fault.problem.clone()));
    violations.into_result().err().unwrap_or_else(|| Status::internal("it was refused without a fault"))
}

/// What the owner of a job is told when it failed for a reason that is not theirs.
pub(crate) fn mishap(error: &DatasetError) -> Fault {
    tracing::error!(error = %Chain(error), "an import or a freeze failed");
    let cure = match error {
        DatasetError::Damaged { .. } => "a stored file is damaged; import the dataset again",
        DatasetError::Missing { .. } => "its bytes are not there any more; send the file again",
        _ => {
            "it was not kept or not found where it should be (the disk is full, or the object store away, or without rights); tell the operator and try again"
        }
    };
    Fault::new("file", format!("{error}: {cure}"))
}
