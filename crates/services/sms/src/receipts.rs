//! Receipts on their way to receipts.v1, before they are acknowledged to the carrier.
//!
//! Receipts of all binds gather for a moment, so that a record holds many. How long is found by trying: a carrier that
//! sends on while we gather is gathered from for longer, one that waits for our answers is answered at once.
//!
//! Must stay true: `Ok` is said only after the log has acknowledged the receipts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{ReceiptsTopic, Topic as _};
use loa_domain::ids::AccountId;
use loa_domain::msisdn::Msisdn;
use loa_gateway::partition::partition_of;
use loa_ports::carrier::{CarrierReceipt, NotStored};
use loa_ports::log::{Append, Log};
use loa_runtime::{Ctx, record};
use prometheus::IntCounter;
use tokio::sync::{Notify, oneshot};

/// Receipts gather at least and at most this long.
const GATHER_MIN: Duration = Duration::from_millis(1);
const GATHER_MAX: Duration = Duration::from_millis(32);
/// Fewer at a time are not worth waiting for more.
const WORTH_GATHERING: usize = 64;
/// After a try that brought nothing, the next one.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// Receipts that gather, at most; more are refused and come again.
const GATHERED_MAX: usize = 20_000;
/// While the log is away receipts are kept this long; then the carrier keeps them.
const KEEP_TRYING: Duration = Duration::from_secs(5);
const AWAY_WAIT: Duration = Duration::from_millis(100);

/// Receipts that wait for the log.
pub(crate) struct Pump {
    ctx: Ctx,
    log: Arc<dyn Log>,
    accounts: Vec<AccountId>,
    meters: Vec<IntCounter>,
    gathered: Mutex<Gathered>,
    filled: Notify,
}

#[derive(Default)]
struct Gathered {
    books: HashMap<(usize, u32), Vec<event::Receipt>>,
    count: usize,
    waiting: Vec<oneshot::Sender<bool>>,
}

impl Pump {
    pub(crate) fn new(ctx: &Ctx, log: Arc<dyn Log>, accounts: Vec<AccountId>) -> Arc<Self> {
        let help = "receipts taken from carriers";
        let counter = ctx.metrics().counter_vec("loa_sms_receipts_total", help, &["account"]);
        let meters = accounts.iter().map(|account| counter.with_label_values(&[account.as_str()])).collect();
        let (gathered, filled) = (Mutex::default(), Notify::new());
        Arc::new(Self { ctx: ctx.clone(), log, accounts, meters, gathered, filled })
    }

    /// Receipts taken of an account.
    pub(crate) fn taken(&self, account: usize) -> u64 {
        self.meters.get(account).map_or(0, IntCounter::get)
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes receipts durable.
    pub(crate) async fn put(&self, account: usize, receipts: Vec<CarrierReceipt>) -> Result<(), NotStored> {
        let Some(id) = self.accounts.get(account) else { return Err(NotStored) };
        let count = receipts.len();
        let stored = {
            let mut gathered = self.gathered();
            if gathered.count + count > GATHERED_MAX {
                return Err(NotStored);
            }
            let received_at_us = self.ctx.now_us();
            for receipt in receipts {
                let partition = partition_of(self.ctx.hash_key(), id.as_str(), &receipt.id);
                gathered.books.entry((account, partition)).or_default().push(self.of_carrier(receipt, received_at_us));
            }
            gathered.count += count;
            let (told, stored) = oneshot::channel();
            gathered.waiting.push(told);
            stored
        };
        self.filled.notify_one();
        if !stored.await.unwrap_or(false) {
            return Err(NotStored);
        }
        self.meters[account].inc_by(count as u64);
        Ok(())
    }

    /// Appends what gathers; runs until the context stops and nobody waits any more.
    pub(crate) async fn run(self: Arc<Self>, over: impl Future<Output = ()>) {
        tokio::pin!(over);
        let mut gather = Gather::default();
        loop {
            tokio::select! {
                () = &mut over => return,
                () = self.filled.notified() => {}
            }
            tokio::time::sleep(gather.wait).await;
            let Gathered { books, waiting, count } = std::mem::take(&mut *self.gathered());
            gather.took(count, self.ctx.monotonic());
            let stored = books.is_empty() || self.append(self.records(books)).await;
            for told in waiting {
                // A bind that closed meanwhile wants no answer.
                let _closed = told.send(stored);
            }
        }
    }

    fn of_carrier(&self, receipt: CarrierReceipt, received_at_us: i64) -> event::Receipt {
        let hash = |number: Msisdn| self.ctx.hash_key().number(number.as_u64()).0;
        event::Receipt {
            id: receipt.id,
            state: receipt.state.map_or(0, |state| state.code().into()),
            error: receipt.error,
            done_at_us: receipt.done_at_us,
            received_at_us,
            address_hash: receipt.number.map_or(0, hash),
            sender: receipt.sender,
        }
    }

    fn records(&self, books: HashMap<(usize, u32), Vec<event::Receipt>>) -> Vec<Append> {
        let record = |((account, partition), receipts): ((usize, u32), Vec<event::Receipt>)| {
            let account = self.accounts[account].to_string();
            record::append::<ReceiptsTopic>(partition, bytes::Bytes::new(), &event::Receipts { account, receipts })
        };
        books.into_iter().map(record).collect()
    }

    async fn append(&self, records: Vec<Append>) -> bool {
        let until = self.ctx.monotonic() + KEEP_TRYING;
        loop {
            match self.log.append(records.clone()).await {
                Ok(_) => return true,
                Err(error) if error.is_away() && self.ctx.monotonic() < until => {
                    tracing::debug!(%error, "receipts wait for the log");
                }
                Err(error) => {
                    tracing::warn!(topic = ReceiptsTopic::SPEC.name, %error, "receipts could not be stored; the carrier keeps them");
                    return false;
                }
            }
            tokio::time::sleep(AWAY_WAIT).await;
        }
    }
}

/// How long to gather.
#[derive(Debug)]
struct Gather {
    wait: Duration,
    /// Receipts taken after the last wait of half this length, while a longer one is tried.
    tried_from: Option<usize>,
    try_at: Duration,
}

impl Default for Gather {
    fn default() -> Self {
        Self { wait: GATHER_MIN, tried_from: None, try_at: Duration::ZERO }
    }
}

impl Gather {
    /// So many were taken after waiting; sets the next wait.
    fn took(&mut self, count: usize, now: Duration) {
        if count < WORTH_GATHERING {
            *self = Self { try_at: self.try_at, ..Self::default() };
            return;
        }
        if let Some(before) = self.tried_from.take() {
            // Twice the time should bring nearly twice as many, unless the carrier waits for us meanwhile.
            if count * 2 < before * 3 {
                self.wait /= 2;
                self.try_at = now + TRY_EVERY;
            }
        }
        if now >= self.try_at && self.wait < GATHER_MAX {
            self.wait *= 2;
            self.tried_from = Some(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits that follow from what a carrier sends in so many milliseconds.
    fn waits(sends: fn(u128) -> usize, rounds: u64) -> Duration {
        let mut gather = Gather::default();
        for round in 0..rounds {
            let count = sends(gather.wait.as_millis());
            gather.took(count, Duration::from_millis(round));
        }
        gather.wait
    }

    #[test]
    fn gathers_as_long_as_it_brings_more() {
        let free = |ms: u128| 50 * usize::try_from(ms).unwrap() + 50;
        assert_eq!(waits(free, 20), GATHER_MAX);
        let waits_for_us = |_: u128| 100;
        assert_eq!(waits(waits_for_us, 20), GATHER_MIN);
        let window_of_500 = |ms: u128| (50 * usize::try_from(ms).unwrap()).min(500);
        assert!(waits(window_of_500, 40) <= Duration::from_millis(16));
        let few = |ms: u128| usize::try_from(ms).unwrap();
        assert_eq!(waits(few, 20), GATHER_MIN);
    }
}
