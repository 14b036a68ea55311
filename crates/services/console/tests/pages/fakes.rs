//! The other roles as small servers that answer from a table.
//!
//! Must stay true: they count what was called, so a test can tell that a page only reads.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use loa_contract::pb::email::v1::email_service_server::{EmailService, EmailServiceServer};
use loa_contract::pb::registry::v1::registry_service_server::{RegistryService, RegistryServiceServer};
use loa_contract::pb::report::v1::report_service_server::{ReportService, ReportServiceServer};
use loa_contract::pb::sms::v1::sms_service_server::{SmsService, SmsServiceServer};
use loa_contract::pb::{email::v1 as email, registry::v1 as registry, report::v1 as report, sms::v1 as sms};
use loa_runtime::Ctx;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What the roles know.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) campaigns: Vec<registry::Campaign>,
    pub(crate) contents: HashMap<Vec<u8>, registry::Content>,
    pub(crate) audit: Vec<registry::AuditEntry>,
    /// What a watch tells, one after the other; the last one is the ledger.
    pub(crate) ledgers: HashMap<String, Vec<report::CampaignLedger>>,
    pub(crate) accounts: Vec<sms::AccountStatus>,
    pub(crate) relays: Vec<email::RelayStatus>,
    /// Calls that carried no key.
    pub(crate) keyless: usize,
}

/// The table, shared by the servers and the test.
#[derive(Clone, Default)]
pub(crate) struct Fakes(Arc<Mutex<World>>);

impl Fakes {
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn called<T, R>(&self, request: &Request<T>, f: impl FnOnce(&mut World, &T) -> R) -> R {
        let keyless = request.metadata().get("authorization").is_none_or(|value| value != "Bearer system");
        self.with(|world| {
            world.keyless += usize::from(keyless);
            f(world, request.get_ref())
        })
    }

    /// Serves every role on one port until the context stops; gives its URL.
    pub(crate) async fn serve(&self, ctx: &Ctx) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let routes = Routes::new(RegistryServiceServer::new(self.clone()))
            .add_service(ReportServiceServer::new(self.clone()))
            .add_service(SmsServiceServer::new(self.clone()))
            .add_service(EmailServiceServer::new(self.clone()));
        let stopping = ctx.clone();
        let server = Server::builder().add_routes(routes);
        ctx.spawn("fake roles", async move {
            let stop = async move { stopping.stopping().await };
            // A test that ends early closes the connections in the middle of a call.
            server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop).await.unwrap_or_default();
        });
        url
    }
}

/// A server of which a page may call only what has a body.
macro_rules! serve {
    (impl $name:ident for $fake:ty { $($body:tt)* } not called { $($call:ident: $request:ident => $response:ident,)* }) => {
        #[tonic::async_trait]
        impl $name for $fake {
            $($body)*
            $(async fn $call(&self, _: Request<registry::$request>) -> Result<Response<registry::$response>, Status> {
                Err(Status::unimplemented(concat!("a page must not call ", stringify!($call))))
            })*
        }
    };
}

serve! {
    impl RegistryService for Fakes {
        async fn list_campaigns(&self, request: Request<registry::ListCampaignsRequest>) -> Result<Response<registry::ListCampaignsResponse>, Status> {
            let page = self.called(&request, |world, asked| {
                let from: usize = asked.page_token.parse().unwrap_or(0);
                let to = world.campaigns.len().min(from + asked.page_size as usize);
                let next_page_token = if to < world.campaigns.len() { to.to_string() } else { String::new() };
                registry::ListCampaignsResponse { campaigns: world.campaigns[from..to].to_vec(), next_page_token }
            });
            Ok(Response::new(page))
        }

        async fn get_campaign(&self, request: Request<registry::GetCampaignRequest>) -> Result<Response<registry::GetCampaignResponse>, Status> {
            let found = self.called(&request, |world, asked| world.campaigns.iter().find(|one| one.id == asked.id).cloned());
            let campaign = found.ok_or_else(|| Status::not_found("there is no campaign"))?;
            Ok(Response::new(registry::GetCampaignResponse { campaign: Some(campaign) }))
        }

        async fn list_audit(&self, request: Request<registry::ListAuditRequest>) -> Result<Response<registry::ListAuditResponse>, Status> {
            let entries = self.called(&request, |world, asked| {
                world.audit.iter().filter(|entry| entry.object_id == asked.object_id).cloned().collect()
            });
            Ok(Response::new(registry::ListAuditResponse { entries, next_page_token: String::new() }))
        }

        async fn get_content(&self, request: Request<registry::GetContentRequest>) -> Result<Response<registry::GetContentResponse>, Status> {
            let content = self.called(&request, |world, asked| world.contents.get(&asked.content_hash).cloned());
            let content = content.ok_or_else(|| Status::not_found("there is no content"))?;
            Ok(Response::new(registry::GetContentResponse { content: Some(content) }))
        }
    }
    not called {
        put_unit: PutUnitRequest => PutUnitResponse,
        list_units: ListUnitsRequest => ListUnitsResponse,
        put_template: PutTemplateRequest => PutTemplateResponse,
        list_templates: ListTemplatesRequest => ListTemplatesResponse,
        preview_content: PreviewContentRequest => PreviewContentResponse,
        create_notice: CreateNoticeRequest => CreateNoticeResponse,
        approve_notice: ApproveNoticeRequest => ApproveNoticeResponse,
        set_notice_state: SetNoticeStateRequest => SetNoticeStateResponse,
        list_notices: ListNoticesRequest => ListNoticesResponse,
        create_campaign: CreateCampaignRequest => CreateCampaignResponse,
        update_campaign: UpdateCampaignRequest => UpdateCampaignResponse,
        submit_campaign: SubmitCampaignRequest => SubmitCampaignResponse,
        approve_campaign: ApproveCampaignRequest => ApproveCampaignResponse,
        reject_campaign: RejectCampaignRequest => RejectCampaignResponse,
        schedule_campaign: ScheduleCampaignRequest => ScheduleCampaignResponse,
        start_campaign: StartCampaignRequest => StartCampaignResponse,
        pause_campaign: PauseCampaignRequest => PauseCampaignResponse,
        resume_campaign: ResumeCampaignRequest => ResumeCampaignResponse,
        cancel_campaign: CancelCampaignRequest => CancelCampaignResponse,
        halt_campaign: HaltCampaignRequest => HaltCampaignResponse,
        put_hold: PutHoldRequest => PutHoldResponse,
        end_hold: EndHoldRequest => EndHoldResponse,
        get_hold: GetHoldRequest => GetHoldResponse,
        complete_campaign: CompleteCampaignRequest => CompleteCampaignResponse,
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ReportService for Fakes {
    async fn get_ledger(
        &self,
        request: Request<report::GetLedgerRequest>,
    ) -> Result<Response<report::GetLedgerResponse>, Status> {
        let ledger = self.called(&request, |world, asked| world.ledgers.get(&asked.campaign_id)?.last().cloned());
        let ledger = ledger.ok_or_else(|| Status::not_found("no such campaign was submitted"))?;
        Ok(Response::new(report::GetLedgerResponse { ledger: Some(ledger) }))
    }

    type WatchLedgerStream = Answers<report::WatchLedgerResponse>;

    /// Tells the ledgers, then ends if the last one is done, else stays silent.
    async fn watch_ledger(
        &self,
        request: Request<report::WatchLedgerRequest>,
    ) -> Result<Response<Self::WatchLedgerStream>, Status> {
        use futures_util::StreamExt as _;
        let ledgers = self.called(&request, |world, asked| world.ledgers.get(&asked.campaign_id).cloned());
        let ledgers = ledgers.ok_or_else(|| Status::not_found("no such campaign was submitted"))?;
        let done = ledgers.last().is_some_and(|ledger| ledger.state == "done");
        let told =
            futures_util::stream::iter(ledgers).map(|ledger| Ok(report::WatchLedgerResponse { ledger: Some(ledger) }));
        let silent = futures_util::stream::pending().take_until(async move {
            if !done {
                std::future::pending::<()>().await;
            }
        });
        Ok(Response::new(Box::pin(told.chain(silent))))
    }

    async fn find(&self, _: Request<report::FindRequest>) -> Result<Response<report::FindResponse>, Status> {
        Err(Status::unimplemented("a page must not look people up"))
    }

    type ExportLedgerStream = Answers<report::ExportLedgerResponse>;

    async fn export_ledger(
        &self,
        _: Request<report::ExportLedgerRequest>,
    ) -> Result<Response<Self::ExportLedgerStream>, Status> {
        Err(Status::unimplemented("a page must not export people"))
    }
}

#[tonic::async_trait]
impl SmsService for Fakes {
    async fn get_status(
        &self,
        request: Request<sms::GetStatusRequest>,
    ) -> Result<Response<sms::GetStatusResponse>, Status> {
        let accounts = self.called(&request, |world, _| world.accounts.clone());
        Ok(Response::new(sms::GetStatusResponse { accounts }))
    }
}

#[tonic::async_trait]
impl EmailService for Fakes {
    async fn get_status(
        &self,
        request: Request<email::GetStatusRequest>,
    ) -> Result<Response<email::GetStatusResponse>, Status> {
        let relays = self.called(&request, |world, _| world.relays.clone());
        Ok(Response::new(email::GetStatusResponse { relays }))
    }
}

/// A call that takes longer is not waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
