//! Connections to relays as the engine's lines.
//!
//! Must stay true: every mail that was pulled is answered exactly once; the campaign of a mail that a server's policy
//! refused is halted once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_domain::ids::CampaignId;
use loa_gateway::{Addresses, Engine, Line, LineState, Lines, Opening, Word};
use loa_ports::carrier::Pulled;
use loa_ports::mailer::{Connection, Mail, MailResult, MailSource, Mailer, Relay};

use crate::medium::Mime;
use crate::verdict::meaning;

/// Opens connections.
pub(crate) struct Connections {
    engine: Arc<Engine<Mime>>,
    mailer: Arc<dyn Mailer>,
    relays: Vec<Relay>,
}

impl Connections {
    pub(crate) fn new(engine: Arc<Engine<Mime>>, mailer: Arc<dyn Mailer>, relays: Vec<Relay>) -> Self {
        Self { engine, mailer, relays }
    }
}

impl Lines for Connections {
    fn open(&self, account: usize, slot: u32, opening: Opening) -> Box<dyn Line> {
        let engine = Arc::clone(&self.engine);
        let source = Arc::new(Source { engine, account, opening, campaigns: Mutex::default() });
        let shared = Arc::clone(&source);
        Box::new(Open { connection: self.mailer.open(&self.relays[account], slot, shared), source })
    }
}

struct Open {
    connection: Box<dyn Connection>,
    source: Arc<Source>,
}

#[async_trait]
impl Line for Open {
    async fn stop(self: Box<Self>, drain: Duration) {
        self.connection.stop(drain).await;
    }

    fn in_flight(&self) -> u32 {
        let under_way = self.source.campaigns.lock().unwrap_or_else(PoisonError::into_inner).len();
        u32::try_from(under_way).unwrap_or(u32::MAX)
    }
}

/// What one connection pulls from.
struct Source {
    engine: Arc<Engine<Mime>>,
    account: usize,
    opening: Opening,
    /// Campaigns of the mails under way, to halt the right one.
    campaigns: Mutex<HashMap<u64, CampaignId>>,
}

#[async_trait]
impl MailSource for Source {
    fn pull(&self, room: usize, out: &mut Vec<Mail>) -> Pulled {
        let mut campaigns = self.campaigns.lock().unwrap_or_else(PoisonError::into_inner);
        self.engine.pull(self.account, room, &mut |leaves| {
            let offer = &leaves.begun.offer;
            let composed = leaves.begun.ready.get(leaves.at).and_then(Option::as_ref);
            let Addresses::Mailboxes(mailboxes) = &offer.addresses else { return };
            let to = mailboxes.get(leaves.begun.recipient(leaves.at));
            if let (Some(composed), Some(to)) = (composed, to) {
                campaigns.insert(leaves.handle, offer.campaign);
                let (from, data) = (composed.return_path.clone(), composed.data.clone());
                out.push(Mail { handle: leaves.handle, from, to: to.clone(), data });
            }
        })
    }

    fn may_leave(&self, handle: u64) -> bool {
        self.engine.may_leave(self.account, handle)
    }

    async fn ready(&self) {
        self.engine.ready(self.account).await;
    }

    fn settled(&self, results: &mut Vec<MailResult>) {
        let mut words = Vec::with_capacity(results.len());
        for result in results.drain(..) {
            let campaign = self.campaigns.lock().unwrap_or_else(PoisonError::into_inner).remove(&result.handle);
            let meaning = meaning(result.verdict);
            if let Some(wait) = meaning.pause {
                self.engine.slow_down(self.account);
                self.engine.pause(self.account, wait);
            }
            if let (Some(campaign), Some(reason)) = (campaign, meaning.halt) {
                self.engine.halt(campaign, reason);
            }
            words.push(Word { handle: result.handle, part: 0, answer: meaning.answer, id: None });
        }
        self.engine.settled(self.account, words.into_iter());
    }

    fn connection_changed(&self, slot: u32, state: Result<(), String>) {
        let state = match state {
            Ok(()) => LineState { open: true, state: "open", ..LineState::default() },
            Err(why) => LineState { state: "backing_off", last_error: why, ..LineState::default() },
        };
        self.engine.line_changed(self.account, slot, self.opening, state);
    }
}
