//! What the ledger asks of registry: to halt a campaign, and to end one. By gRPC; asking again is harmless.

use std::time::Duration;

use async_trait::async_trait;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::registry::v1::registry_service_client::RegistryServiceClient;
use loa_domain::ids::CampaignId;
use loa_runtime::{Ctx, Role};
use tonic::Status;

/// Registry answers when the log has the change; longer is tried again.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Registry, as the ledger needs it.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Nothing of the campaign leaves any more; the reason is shown to operators.
    async fn halt(&self, campaign: CampaignId, reason: &str) -> Result<(), Status>;

    /// Nobody of the campaign is open any more.
    async fn complete(&self, campaign: CampaignId) -> Result<(), Status>;
}

/// Registry over gRPC.
pub(crate) struct RemoteRegistry(pub Ctx);

impl RemoteRegistry {
    fn client(&self) -> RegistryServiceClient<loa_runtime::peers::Peer> {
        RegistryServiceClient::new(self.0.peers().channel(Role::Registry))
    }
}

#[async_trait]
impl Registry for RemoteRegistry {
    async fn halt(&self, campaign: CampaignId, reason: &str) -> Result<(), Status> {
        let request = registry::HaltCampaignRequest { id: campaign.to_string(), reason: reason.to_owned() };
        within(self.client().halt_campaign(request)).await
    }

    async fn complete(&self, campaign: CampaignId) -> Result<(), Status> {
        let request = registry::CompleteCampaignRequest { id: campaign.to_string() };
        within(self.client().complete_campaign(request)).await
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<(), Status> {
    let answer = tokio::time::timeout(ANSWER_WAIT, call).await;
    answer.map_err(|_| Status::deadline_exceeded("registry did not answer"))?.map(drop)
}
