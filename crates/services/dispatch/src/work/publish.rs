//! Committing and publishing.
//!
//! Must stay true: after any doubt about a transaction everything it touched is dropped and read again; a record that was
//! not acknowledged is appended again until it is.

use std::sync::Arc;
use std::time::Duration;

use loa_contract::convert;
use loa_domain::ids::Shard;
use loa_ports::log::{Append, LogError};
use loa_ports::store::StoreError;
use loa_ports::store::dispatch::Commit;
use loa_runtime::record::append_to;
use loa_runtime::telemetry::continue_trace;
use tokio::sync::oneshot;

use super::{FLUSH_WAIT, RETRY_WAIT, Work};
use crate::core::{Outgoing, Said};

/// What the log said of an append.
pub(super) type Appended = Result<(), LogError>;

impl Work {
    /// Commits if rows wait for it, or if changes have waited long enough; `false` if it failed.
    pub(super) async fn commit_if_due(&mut self) -> bool {
        if !self.engine.has_changes() {
            self.dirty_since = None;
            return true;
        }
        let now = self.ctx.monotonic();
        let since = *self.dirty_since.get_or_insert(now);
        if !self.engine.has_new_rows() && now < since + FLUSH_WAIT {
            return true;
        }
        self.dirty_since = None;
        let Some(commit) = self.engine.commit() else { return true };
        match self.store.commit(&commit).await {
            Ok(()) => {
                self.count(&commit);
                self.engine.committed(self.now());
                true
            }
            Err(error) => {
                self.not_committed(&commit, &error);
                false
            }
        }
    }

    fn count(&self, commit: &Commit) {
        self.meters.rows.inc_by(commit.rows.len() as u64);
        self.meters.recipients.inc_by(commit.rows.iter().map(|row| row.mask.len() as u64).sum());
    }

    fn not_committed(&mut self, commit: &Commit, error: &StoreError) {
        tracing::warn!(shards = commit.fence.held.len(), %error, "a transaction was not confirmed; its shards are read again");
        for held in &commit.fence.held {
            let Ok(shard) = Shard::new(held.number) else { continue };
            self.reload(shard);
            if matches!(error, StoreError::Fenced { number, .. } if *number == held.number) {
                self.keeper.lost(held);
            }
        }
    }

    /// Begins to append what is due, unless an append is under way: rows are stored while the log takes those before them.
    pub(super) fn publish(&mut self) {
        let waits = !self.outgoing.is_empty() && self.ctx.monotonic() < self.retry_at;
        if self.appending.is_some() || self.engine.has_new_rows() || waits {
            return;
        }
        if self.outgoing.is_empty() {
            self.outgoing = self.engine.outgoing(self.now());
        }
        if self.outgoing.is_empty() {
            return;
        }
        let records = self.outgoing.iter().map(|outgoing| append(outgoing, self.trace(outgoing))).collect();
        let (log, (tell, answer)) = (Arc::clone(&self.log), oneshot::channel());
        self.ctx.spawn("dispatch append", async move {
            // The loop may have ended.
            tell.send(log.append(records).await.map(drop)).unwrap_or_default();
        });
        self.appending = Some(answer);
    }

    /// Waits for the append that is under way.
    pub(super) async fn published(&mut self) {
        if self.appending.is_some() {
            let appended = answer(&mut self.appending).await;
            self.appended(appended);
        }
    }

    /// The log has answered.
    pub(super) fn appended(&mut self, appended: Appended) {
        match appended {
            Ok(()) => {
                let records = std::mem::take(&mut self.outgoing);
                self.engine.published(&records, self.now());
            }
            Err(error) => self.not_published(&error),
        }
    }

    /// The trace of the single send, or of the call that lets the campaign run.
    fn trace(&self, outgoing: &Outgoing) -> Option<String> {
        let of_campaign = || match &outgoing.said {
            Said::Release(release) if !release.single => {
                self.view.traceparent(convert::campaign_id(&release.campaign_id).ok()?)
            }
            Said::Release(_) | Said::Words(_) => None,
        };
        outgoing.traceparent.clone().or_else(of_campaign)
    }

    fn not_published(&mut self, error: &LogError) {
        tracing::warn!(records = self.outgoing.len(), %error, "records could not be published");
        if error.is_away() {
            self.retry_at = self.ctx.monotonic() + RETRY_WAIT;
            return;
        }
        // One of them can never be taken; the others go again on their own, and so does it, at long intervals.
        let records = std::mem::take(&mut self.outgoing);
        self.retry_at = Duration::ZERO;
        self.engine.published(&records, self.now());
    }
}

/// The answer to an append, once it is there; never if there is none.
pub(super) async fn answer(appending: &mut Option<oneshot::Receiver<Appended>>) -> Appended {
    let Some(answer) = appending else { return std::future::pending().await };
    let appended = answer.await;
    *appending = None;
    appended.unwrap_or_else(|_| Err(LogError::Away { why: "the append ended without an answer".to_owned() }))
}

fn append(outgoing: &Outgoing, traceparent: Option<String>) -> Append {
    let Outgoing { topic, partition, said, .. } = outgoing;
    let append = || match said {
        Said::Release(release) => append_to(topic, *partition, bytes::Bytes::new(), release.as_ref()),
        Said::Words(words) => append_to(topic, *partition, bytes::Bytes::new(), words),
    };
    let Some(traceparent) = traceparent else { return append() };
    let span = tracing::info_span!("release");
    continue_trace(&span, &traceparent);
    span.in_scope(append)
}
