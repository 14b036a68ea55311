//! How a command ends: the exit codes that scripts rely on, and the one printer of errors.
//!
//! Must stay true: 0 done, 1 failed, 2 usage, 3 not reachable, 4 refused, 5 a ledger does not add up.

use std::process::ExitCode;

use loa_runtime::service::Chain;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something on this side failed.
    #[error("{0}")]
    Failed(String),
    /// The command line or a file it names is wrong.
    #[error("{0}")]
    Usage(String),
    /// The server did what it must: it refused, or could not be reached.
    #[error("{}", describe(.0))]
    Server(Box<Status>),
    /// A part outside of this process does not answer, or is not as it must be.
    #[error("{0}")]
    Away(String),
    /// A ledger does not add up.
    #[error("{0}")]
    Ledger(String),
}

impl Failure {
    /// From any error with its causes.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(Chain(error).to_string())
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Server(status) => match status.code() {
                Code::Unavailable | Code::DeadlineExceeded => 3,
                Code::InvalidArgument | Code::NotFound => 2,
                Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::AlreadyExists
                | Code::ResourceExhausted => 4,
                _ => 1,
            },
            Self::Away(_) => 3,
            Self::Ledger(_) => 5,
        })
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Server(Box::new(status))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What the person reads: every faulty field on its own line.
fn describe(status: &Status) -> String {
    match status.code() {
        Code::Unavailable if status.message().contains("transport") || status.message().contains("tcp") => {
            "no answer from the server: is `loa dev` or `loa run` running, and does --server name its gRPC address?"
                .to_owned()
        }
        Code::InvalidArgument => match status.get_details_bad_request() {
            Some(details) if !details.field_violations.is_empty() => {
                let lines =
                    details.field_violations.iter().map(|fault| format!("  {}: {}", fault.field, fault.description));
                format!(
                    "the server found {} fault(s):\n{}",
                    details.field_violations.len(),
                    lines.collect::<Vec<_>>().join("\n")
                )
            }
            _ => status.message().to_owned(),
        },
        _ => status.message().to_owned(),
    }
}
