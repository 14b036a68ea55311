//! What every gRPC method needs: who calls, what they may, all faults in one reply, errors with a reason, pages.
//!
//! Must stay true: a call without the right it needs does nothing; INVALID_ARGUMENT names every faulty field at once.

use std::time::Duration;

use loa_domain::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use loa_ports::log::LogError;
use loa_ports::store::StoreError;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::service::Chain;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read counts and states; no addresses.
    Viewer,
    /// Write templates and campaigns.
    Author,
    /// Approve what somebody else wrote.
    Approver,
    /// Start and stop, import, look people up.
    Operator,
    /// Another role of this installation.
    System,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Author, Self::Approver, Self::Operator, Self::System];

    /// The name as configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Author => "author",
            Self::Approver => "approver",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's name.
    pub user: String,
    /// What they may.
    pub rights: Vec<Right>,
}

impl Caller {
    /// PERMISSION_DENIED unless the caller has the right. Every user may view; another role may do anything but approve
    /// and write.
    pub fn require(&self, right: Right) -> Result<(), Status> {
        let system = self.rights.contains(&Right::System) && !matches!(right, Right::Author | Right::Approver);
        let viewer = right == Right::Viewer && !self.rights.is_empty();
        if self.rights.contains(&right) || system || viewer {
            return Ok(());
        }
        let message = format!(
            "user `{}` does not have the right `{}`; an operator can add it under [[user]]",
            self.user,
            right.name()
        );
        Err(Status::with_error_details(
            Code::PermissionDenied,
            message,
            ErrorDetails::with_error_info("RIGHT_MISSING", "loa", []),
        ))
    }
}

/// Who calls, as found by the server's authentication.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().cloned().ok_or_else(unauthenticated)
}

/// Who calls, and that they have the right.
pub fn require<T>(request: &Request<T>, right: Right) -> Result<Caller, Status> {
    let caller = caller(request)?;
    caller.require(right)?;
    Ok(caller)
}

/// No key, or none that is known.
pub fn unauthenticated() -> Status {
    Status::unauthenticated("no valid key: send `authorization: Bearer <key>` with a key of a configured [[user]]")
}

/// Faulty fields, collected.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A field is faulty: what is allowed, and the cure.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// The value, or a fault of the field.
    pub fn check<T, E: std::fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Whether no field is faulty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// INVALID_ARGUMENT with every faulty field, if there is one.
    pub fn into_result(self) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = self.0.iter().map(|fault| format!("{}: {}", fault.field, fault.description)).collect();
        Err(Status::with_error_details(Code::InvalidArgument, list.join("; "), ErrorDetails::with_bad_request(self.0)))
    }
}

/// The object is not in a state for this.
pub fn failed_precondition(reason: &str, message: impl Into<String>) -> Status {
    Status::with_error_details(Code::FailedPrecondition, message, ErrorDetails::with_error_info(reason, "loa", []))
}

/// Too much for now.
pub fn exhausted(message: impl Into<String>, retry_after: Duration) -> Status {
    Status::with_error_details(Code::ResourceExhausted, message, ErrorDetails::with_retry_info(Some(retry_after)))
}

/// Somebody else was faster, or the same key came with another body.
pub fn aborted(message: impl Into<String>) -> Status {
    Status::aborted(message)
}

/// What a caller is told when the store fails; the cause goes to our log.
pub fn store_status(error: &StoreError) -> Status {
    match error {
        StoreError::Away { .. } | StoreError::Uncertain { .. } | StoreError::Fenced { .. } => {
            tracing::warn!(error = %Chain(error), "a call failed since the store did not answer");
            Status::unavailable("the store does not answer; try again")
        }
        StoreError::Conflict { .. } => Status::aborted(error.to_string()),
        StoreError::Damaged { .. } => {
            tracing::error!(error = %Chain(error), "a call met something unreadable in the store");
            Status::internal("the store holds something unreadable; see the log of this node")
        }
    }
}

/// What a caller is told when the log fails.
pub fn log_status(error: &LogError) -> Status {
    tracing::warn!(error = %Chain(error), "a call failed since the log did not take it");
    match error {
        LogError::TooLarge { .. } => Status::invalid_argument(error.to_string()),
        LogError::Away { .. } | LogError::NoPartition { .. } | LogError::Gap { .. } | LogError::Damaged { .. } => {
            Status::unavailable("the log does not answer; try again")
        }
    }
}

/// Rows of a page: the default for 0, a fault above the limit.
pub fn page_size(requested: u32, violations: &mut Violations) -> u32 {
    if requested > PAGE_ROWS_MAX {
        violations.add("page_size", format!("at most {PAGE_ROWS_MAX}; ask for the next page with page_token"));
    }
    if requested == 0 { PAGE_ROWS_DEFAULT } else { requested }
}

/// Where a page begins: the number in an opaque token, 0 for none.
pub fn page_start(token: &str, violations: &mut Violations) -> u64 {
    if token.is_empty() {
        return 0;
    }
    let number = token.strip_prefix('p').and_then(|hex| u64::from_str_radix(hex, 16).ok());
    number.unwrap_or_else(|| {
        violations.add("page_token", "not a token of this list; use next_page_token of the page before");
        0
    })
}

/// The token of the page that begins there.
pub fn page_token(start: u64) -> String {
    format!("p{start:x}")
}

/// Checks an idempotency key: 1 to 64 visible ASCII characters.
pub fn idempotency_key(key: &str, violations: &mut Violations) {
    let legal = !key.is_empty()
        && key.len() <= loa_domain::limits::IDEMPOTENCY_KEY_CHARS_MAX
        && key.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if !legal {
        violations
            .add("idempotency_key", "1 to 64 visible ASCII characters; draw one per thing you create, e.g. a UUID");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(rights: &[Right]) -> Caller {
        Caller { user: "lan".to_owned(), rights: rights.to_vec() }
    }

    #[test]
    fn rights_do_not_imply_each_other() {
        for right in Right::ALL {
            assert!(caller(&[right]).require(right).is_ok());
        }
        assert_eq!(caller(&[Right::Author]).require(Right::Approver).unwrap_err().code(), Code::PermissionDenied);
        assert!(caller(&[Right::Author]).require(Right::Viewer).is_ok(), "who may write may read");
        assert!(caller(&[]).require(Right::Viewer).is_err());
        assert!(caller(&[Right::System]).require(Right::Approver).is_err(), "no role approves");
    }

    #[test]
    fn all_faults_are_in_one_reply() {
        let mut violations = Violations::new();
        idempotency_key("", &mut violations);
        page_size(5_000, &mut violations);
        page_start("x", &mut violations);
        let status = violations.into_result().unwrap_err();
        let fields: Vec<_> =
            status.get_details_bad_request().unwrap().field_violations.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["idempotency_key", "page_size", "page_token"]);
    }

    #[test]
    fn page_tokens_come_back() {
        let mut violations = Violations::new();
        assert_eq!(page_start(&page_token(255), &mut violations), 255);
        assert!(violations.is_empty());
    }
}
