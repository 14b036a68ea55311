//! Calls to the other roles, each with a limit of time, and what their failures mean to a reader.
//!
//! Must stay true: what is shown of a failure names the role and what to do, never an internal text.

use std::future::Future;
use std::time::Duration;

use loa_contract::pb::email::v1::email_service_client::EmailServiceClient;
use loa_contract::pb::registry::v1::registry_service_client::RegistryServiceClient;
use loa_contract::pb::report::v1::report_service_client::ReportServiceClient;
use loa_contract::pb::sms::v1::sms_service_client::SmsServiceClient;
use loa_runtime::peers::Peer;
use loa_runtime::{Ctx, Role};
use tonic::{Code, Response, Status};

/// A page waits no longer than this for a role.
const CALL_MAX: Duration = Duration::from_secs(5);

/// Why a page cannot show something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no such thing.
    NotFound,
    /// The role does not answer.
    Away(Role),
    /// The role answered with something else; its log knows why.
    Failed(Role, Code),
}

impl Trouble {
    pub(crate) fn of(role: Role, status: &Status) -> Self {
        match status.code() {
            Code::NotFound | Code::InvalidArgument => Self::NotFound,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Away(role),
            code => Self::Failed(role, code),
        }
    }
}

/// The answer of a role, or what is wrong.
pub(crate) async fn ask<T>(role: Role, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Trouble> {
    within(CALL_MAX, role, call).await
}

async fn within<T>(
    limit: Duration,
    role: Role,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => {
            let trouble = Trouble::of(role, &status);
            if let Trouble::Failed(..) = trouble {
                tracing::warn!(%role, code = ?status.code(), "a role refused a page");
            }
            Err(trouble)
        }
        Err(_) => Err(Trouble::Away(role)),
    }
}

pub(crate) fn registry(ctx: &Ctx) -> RegistryServiceClient<Peer> {
    RegistryServiceClient::new(ctx.peers().channel(Role::Registry))
}

pub(crate) fn report(ctx: &Ctx) -> ReportServiceClient<Peer> {
    ReportServiceClient::new(ctx.peers().channel(Role::Report))
}

pub(crate) fn sms(ctx: &Ctx) -> SmsServiceClient<Peer> {
    SmsServiceClient::new(ctx.peers().channel(Role::Sms))
}

pub(crate) fn email(ctx: &Ctx) -> EmailServiceClient<Peer> {
    EmailServiceClient::new(ctx.peers().channel(Role::Email))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failures_say_what_they_mean() {
        let of = |status: Status| async move { ask::<()>(Role::Report, std::future::ready(Err(status))).await };
        assert_eq!(of(Status::not_found("x")).await, Err(Trouble::NotFound));
        assert_eq!(of(Status::invalid_argument("x")).await, Err(Trouble::NotFound));
        assert_eq!(of(Status::unavailable("x")).await, Err(Trouble::Away(Role::Report)));
        assert_eq!(
            of(Status::permission_denied("x")).await,
            Err(Trouble::Failed(Role::Report, Code::PermissionDenied))
        );
        let silent = within::<()>(Duration::ZERO, Role::Sms, std::future::pending()).await;
        assert_eq!(silent, Err(Trouble::Away(Role::Sms)));
    }
}
