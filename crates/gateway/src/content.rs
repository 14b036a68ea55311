//! Contents by hash: fetched from registry once, compiled, kept.
//!
//! Must stay true: a content never changes under its hash; how many are kept is bounded; a content that registry does not
//! know, or that does not compile, refuses its messages instead of holding them for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::registry::v1::registry_service_client::RegistryServiceClient;
use loa_domain::ids::CampaignId;
use loa_runtime::{Ctx, Role};
use tonic::Code;

/// Contents kept, at most; when there are more, all but those in use are fetched again.
const CONTENTS_MAX: usize = 1_000;
/// Registry answers within this time, or is asked again.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What gateways ask of registry.
#[async_trait]
pub trait Registry: Send + Sync {
    /// A content by its hash; `None` if registry does not know it.
    async fn content(&self, hash: &[u8]) -> Result<Option<registry::Content>, RegistryAway>;

    /// Halts a campaign: a carrier refuses every message of it.
    async fn halt(&self, campaign: CampaignId, reason: &str) -> Result<(), RegistryAway>;
}

/// Registry did not do what was asked; try again.
#[derive(Debug, thiserror::Error)]
#[error("registry does not answer: {why}")]
pub struct RegistryAway {
    /// What it said.
    pub why: String,
}

/// Registry over gRPC.
#[derive(Clone)]
pub struct PeerRegistry(pub Ctx);

#[async_trait]
impl Registry for PeerRegistry {
    async fn content(&self, hash: &[u8]) -> Result<Option<registry::Content>, RegistryAway> {
        let mut client = RegistryServiceClient::new(self.0.peers().channel(Role::Registry));
        let mut request = tonic::Request::new(registry::GetContentRequest { content_hash: hash.to_vec() });
        request.set_timeout(ANSWER_WAIT);
        match client.get_content(request).await {
            Ok(reply) => Ok(reply.into_inner().content),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(RegistryAway { why: status.message().to_owned() }),
        }
    }

    async fn halt(&self, campaign: CampaignId, reason: &str) -> Result<(), RegistryAway> {
        let mut client = RegistryServiceClient::new(self.0.peers().channel(Role::Registry));
        let halt = registry::HaltCampaignRequest { id: campaign.to_string(), reason: reason.to_owned() };
        let mut request = tonic::Request::new(halt);
        request.set_timeout(ANSWER_WAIT);
        match client.halt_campaign(request).await {
            Ok(_) => Ok(()),
            // It is over, or a notice: nothing is left to halt.
            Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) => Ok(()),
            Err(status) => Err(RegistryAway { why: status.message().to_owned() }),
        }
    }
}

/// A content compiled, or why its messages cannot be rendered.
pub type Compiled<C> = Result<C, String>;

type Known<C> = Option<Arc<Compiled<C>>>;

/// Compiled contents of this process.
#[derive(Debug)]
pub struct Contents<C> {
    /// `None` while somebody fetches it.
    known: Mutex<HashMap<Box<[u8]>, Known<C>>>,
}

impl<C> Default for Contents<C> {
    fn default() -> Self {
        Self { known: Mutex::default() }
    }
}

/// What is known of a content.
#[derive(Debug)]
pub enum Lookup<C> {
    /// It is here.
    Ready(Arc<Compiled<C>>),
    /// It is being fetched.
    Coming,
    /// Nobody fetches it: the caller shall, and put it in.
    Fetch,
}

impl<C> Contents<C> {
    /// Looks a content up; of those who ask for a missing one, the first shall fetch it.
    pub fn look_up(&self, hash: &[u8]) -> Lookup<C> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(hash) {
            Some(Some(content)) => Lookup::Ready(Arc::clone(content)),
            Some(None) => Lookup::Coming,
            None => {
                if known.len() >= CONTENTS_MAX {
                    known.retain(|_, content| content.as_ref().is_none_or(|content| Arc::strong_count(content) > 1));
                }
                known.insert(hash.into(), None);
                Lookup::Fetch
            }
        }
    }

    /// Puts a fetched content in.
    pub fn put(&self, hash: &[u8], content: Compiled<C>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(hash.into(), Some(Arc::new(content)));
    }

    /// It was not fetched: the next who asks shall.
    pub fn give_up(&self, hash: &[u8]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_fetches() {
        let contents = Contents::<u8>::default();
        assert!(matches!(contents.look_up(b"a"), Lookup::Fetch));
        assert!(matches!(contents.look_up(b"a"), Lookup::Coming));
        contents.give_up(b"a");
        assert!(matches!(contents.look_up(b"a"), Lookup::Fetch));
        contents.put(b"a", Ok(1));
        assert!(matches!(contents.look_up(b"a"), Lookup::Ready(content) if *content == Ok(1)));
    }

    #[test]
    fn how_many_are_kept_is_bounded() {
        let contents = Contents::<u8>::default();
        let mut in_use = Vec::new();
        for number in 0..2 * CONTENTS_MAX {
            let hash = number.to_be_bytes();
            assert!(matches!(contents.look_up(&hash), Lookup::Fetch));
            contents.put(&hash, Ok(0));
            if number == 5 {
                in_use.push(contents.look_up(&hash));
            }
        }
        assert!(contents.known.lock().unwrap().len() <= CONTENTS_MAX + 1);
        assert!(matches!(contents.look_up(&5_usize.to_be_bytes()), Lookup::Ready(_)));
    }
}
