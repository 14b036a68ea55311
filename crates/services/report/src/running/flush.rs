//! Writing what changed, and telling senders of requests what follows from it.
//!
//! Must stay true: nothing is told before it is stored; what was not acknowledged is told again.

use std::collections::BTreeMap;

use loa_ports::lease::{Fence, Held};
use loa_ports::store::StoreError;
use loa_ports::store::report::Flush;
use loa_runtime::lease::Change;

use super::Running;
use crate::results::Answer;

/// Answers to requests in one append, about.
const ANSWERS_MAX: usize = 500;

/// What the shards have to write.
#[derive(Debug, Default)]
struct Collected {
    fence: Fence,
    flush: Flush,
    shards: Vec<u32>,
    /// Nothing was left out.
    is_whole: bool,
}

impl Collected {
    fn add(&mut self, shard: u32, held: &Held, one: Flush) {
        self.fence.held.push(held.clone());
        self.shards.push(shard);
        let Flush { chunks, states, totals, singles, replies, replied, gaps, loaded, offsets } = one;
        let all = &mut self.flush;
        all.chunks.extend(chunks);
        all.states.extend(states);
        all.totals.extend(totals);
        all.singles.extend(singles);
        all.replies.extend(replies);
        all.replied.extend(replied);
        all.gaps.extend(gaps);
        all.loaded.extend(loaded);
        all.offsets.extend(offsets);
    }
}

impl Running {
    /// Writes what changed, then tells what is due by it.
    pub(super) async fn flush(&mut self) {
        if self.store_changes().await {
            self.answer().await;
        }
    }

    /// Tells senders of requests what became of them.
    async fn answer(&mut self) {
        loop {
            let (now_us, mut answers) = (self.ctx.now_us(), Vec::new());
            for (&shard, (_, ledger)) in &mut self.shards {
                let max = ANSWERS_MAX.saturating_sub(answers.len());
                answers.extend(ledger.answers(max, now_us).into_iter().map(|answer| (shard, answer)));
            }
            if answers.is_empty() {
                return;
            }
            let appended = self.log.append(answers.iter().map(|(_, answer)| answer.append.clone()).collect()).await;
            let told = appended.is_ok();
            if let Err(error) = &appended {
                tracing::warn!(results = answers.len(), %error, "results could not be told; they are told again");
            }
            let results = self.ctx.metrics().counter("loa_report_results_total", "Results told on results.v1");
            results.inc_by(if told { answers.len() as u64 } else { 0 });
            self.note_answers(answers, told);
            if !told {
                return;
            }
        }
    }

    fn note_answers(&mut self, answers: Vec<(u32, Answer)>, told: bool) {
        let mut of_shards: BTreeMap<u32, Vec<Answer>> = BTreeMap::new();
        answers.into_iter().for_each(|(shard, answer)| of_shards.entry(shard).or_default().push(answer));
        for (shard, answers) in of_shards {
            let Some((_, ledger)) = self.shards.get_mut(&shard) else { continue };
            if told { ledger.replies().told(&answers) } else { ledger.replies().not_told(&answers) }
        }
    }

    /// Writes what changed, all owned shards in one transaction; whether the store holds what memory does.
    async fn store_changes(&mut self) -> bool {
        let Collected { fence, flush, shards, is_whole } = self.collect();
        if shards.is_empty() {
            return is_whole;
        }
        match self.store.flush(&fence, &flush).await {
            Ok(()) => {
                for shard in shards {
                    if let Some((_, ledger)) = self.shards.get_mut(&shard) {
                        ledger.flushed();
                    }
                }
                return is_whole;
            }
            Err(StoreError::Fenced { number, .. }) => {
                if let Some((held, _)) = self.shards.get(&number) {
                    self.keeper.lost(held);
                }
                self.close(number);
            }
            Err(StoreError::Uncertain { why }) => {
                tracing::warn!(why, "a flush had no answer; its shards are read again");
                self.reopen(&shards).await;
            }
            Err(error) => tracing::warn!(%error, "the ledger could not be written; it is tried again"),
        }
        false
    }

    fn collect(&self) -> Collected {
        let now_us = self.ctx.now_us();
        let mut all = Collected { is_whole: true, ..Collected::default() };
        for (&shard, (held, ledger)) in &self.shards {
            match ledger.flush(now_us) {
                Ok(one) if one == Flush::default() => {}
                Ok(one) => all.add(shard, held, one),
                Err(error) => {
                    tracing::error!(shard, %error, "a chunk could not be packed");
                    all.is_whole = false;
                }
            }
        }
        all
    }

    async fn reopen(&mut self, shards: &[u32]) {
        for shard in shards {
            let Some((held, _)) = self.shards.remove(shard) else { continue };
            self.close(*shard);
            self.change(Change::Gained(held)).await;
        }
    }
}
