//! Contents of notices by hash: which slots they have, and how many parts a text makes.
//!
//! Must stay true: a content never changes under its hash; how many are kept is bounded.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::registry::v1::registry_service_client::RegistryServiceClient;
use loa_domain::template::{TemplateText, check_value};
use loa_domain::text::{self, Diacritics};
use loa_runtime::{Ctx, Role};
use tonic::{Code, Request};

/// Contents kept, at most.
const KEPT_MAX: usize = 1_000;
/// Registry answers within this time, or is asked again.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Registry did not answer; try again.
#[derive(Debug, thiserror::Error)]
#[error("registry does not give the content: {why}")]
pub struct ContentsError {
    /// What it said.
    pub why: String,
}

/// Contents by hash.
#[async_trait]
pub trait Contents: Send + Sync + std::fmt::Debug {
    /// A content; `None` if registry does not know it.
    async fn content(&self, hash: &[u8]) -> Result<Option<registry::Content>, ContentsError>;
}

/// Contents over gRPC.
#[derive(Clone)]
pub struct RemoteContents(pub Ctx);

impl std::fmt::Debug for RemoteContents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RemoteContents")
    }
}

#[async_trait]
impl Contents for RemoteContents {
    async fn content(&self, hash: &[u8]) -> Result<Option<registry::Content>, ContentsError> {
        let mut client = RegistryServiceClient::new(self.0.peers().channel(Role::Registry));
        let mut request = Request::new(registry::GetContentRequest { content_hash: hash.to_vec() });
        request.set_timeout(ANSWER_WAIT);
        match client.get_content(request).await {
            Ok(reply) => Ok(reply.into_inner().content),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(ContentsError { why: status.message().to_owned() }),
        }
    }
}

/// A content as single sends need it.
#[derive(Debug)]
pub(crate) struct Compiled {
    text: Option<TemplateText>,
    diacritics: Diacritics,
    slots: BTreeSet<Box<str>>,
    is_sms: bool,
}

impl Compiled {
    /// Reads the templates of a content; `None` if one of them is none (registry refuses such).
    pub(crate) fn read(content: &registry::Content) -> Option<Self> {
        let sources = [&content.text, &content.subject, &content.html];
        let parsed = sources.map(|source| TemplateText::parse(source).ok());
        let [Some(text), Some(subject), Some(html)] = parsed else { return None };
        let slots =
            [&text, &subject, &html].into_iter().flat_map(|template| template.slots()).map(|slot| slot.name.clone());
        let slots = slots.collect();
        let is_sms = content.channel() == loa_contract::pb::event::v1::Channel::Sms;
        let diacritics = content.diacritics.parse().unwrap_or(Diacritics::AsIs);
        Some(Self { text: Some(text), diacritics, slots, is_sms })
    }

    /// Every fault of slot values: missing, unknown, too long.
    pub(crate) fn faults(&self, values: &HashMap<String, String>) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for slot in &self.slots {
            let field = || format!("slots.{slot}");
            match values.get(&**slot) {
                None => faults.push((field(), "has no value; the notice's text needs it".to_owned())),
                Some(value) => faults.extend(check_value(slot, value).err().map(|error| (field(), error.to_string()))),
            }
        }
        let unknown = values.keys().filter(|name| !self.slots.contains(name.as_str()));
        let known = || self.slots.iter().map(|slot| &**slot).collect::<Vec<_>>().join(", ");
        faults.extend(unknown.map(|name| {
            let name: String = name.chars().take(40).collect();
            (format!("slots.{name}"), format!("is no slot of the notice; it has: {}", known()))
        }));
        if faults.is_empty() {
            faults.extend(self.parts(values).err().map(|why| ("slots".to_owned(), why)));
        }
        faults
    }

    /// Parts of the rendered text; 1 for mail.
    pub(crate) fn parts(&self, values: &HashMap<String, String>) -> Result<u8, String> {
        let Some(template) = self.text.as_ref().filter(|_| self.is_sms) else { return Ok(1) };
        let lookup = |name: &str| values.get(name).map(String::as_str);
        let rendered = template.render(lookup).map_err(|error| error.to_string())?;
        let sent = text::apply(&rendered, self.diacritics).map_err(|error| error.to_string())?;
        let counted = text::count(&sent).check().map_err(|error| error.to_string())?;
        Ok(u8::try_from(counted.parts).unwrap_or(u8::MAX))
    }
}

/// Compiled contents of this process.
#[derive(Debug)]
pub(crate) struct Library {
    source: Arc<dyn Contents>,
    kept: Mutex<HashMap<Vec<u8>, Arc<Compiled>>>,
}

impl Library {
    pub(crate) fn new(source: Arc<dyn Contents>) -> Self {
        Self { source, kept: Mutex::default() }
    }

    /// A content, read once; `None` if there is none that can be used.
    pub(crate) async fn get(&self, hash: &[u8]) -> Result<Option<Arc<Compiled>>, ContentsError> {
        if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(hash) {
            return Ok(Some(Arc::clone(kept)));
        }
        let Some(compiled) = self.source.content(hash).await?.as_ref().and_then(Compiled::read).map(Arc::new) else {
            return Ok(None);
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(hash.to_vec(), Arc::clone(&compiled));
        Ok(Some(compiled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Compiled {
        let content = registry::Content { channel: 1, text: text.to_owned(), ..Default::default() };
        Compiled::read(&content).unwrap()
    }

    fn values(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_every_faulty_slot_at_once() {
        let content = content("Chào {ten}, mã {ma}");
        let fields = |pairs: &[(&str, &str)]| {
            content.faults(&values(pairs)).into_iter().map(|(field, _)| field).collect::<Vec<_>>()
        };
        assert!(fields(&[("ten", "An"), ("ma", "1")]).is_empty());
        assert_eq!(fields(&[("ten", &"x".repeat(100)), ("so", "1")]), ["slots.ma", "slots.ten", "slots.so"]);
    }

    #[test]
    fn counts_the_parts_of_what_is_sent() {
        let content = content("Chào bạn {ten}");
        assert_eq!(content.parts(&values(&[("ten", "An")])), Ok(1));
        assert_eq!(content.parts(&values(&[("ten", &"ă".repeat(64))])), Ok(2), "73 letters in UCS-2");
        assert!(Compiled::read(&registry::Content { text: "{".to_owned(), ..Default::default() }).is_none());
    }
}
