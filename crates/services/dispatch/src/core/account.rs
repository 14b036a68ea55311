//! Accounts as control.v1 tells them, and the credit of this process.
//!
//! Credit is counted in parts, per lane, so bulk can use up nothing of what urgent may have. What is in use is the sum over
//! unsettled rows of the owned shards: it is computed and cannot leak.
//!
//! Must stay true: nothing is released to an account that is not bound, or that was last heard of more than 15 s ago.

use std::collections::HashMap;
use std::time::Duration;

use loa_contract::convert::{self, BadRecord};
use loa_contract::pb::event::v1 as event;
use loa_domain::channel::{Channel, Lane};
use loa_domain::ids::AccountId;
use loa_domain::limits::{SHARDS, SLICE_RECIPIENTS_MAX};

use super::AccountNo;

/// An announcement older than this, on this process's monotonic clock, does not count as bound.
pub(crate) const HEARD_MAX: Duration = Duration::from_secs(15);
/// Seconds of an account's rate that may be unsettled.
const CREDIT_S: f64 = 3.0;
/// Seconds of an account's rate in one slice.
const SLICE_S: f64 = 0.5;
/// Parts a lane must have free, as a share of its credit, before another release is cut: many small releases cost more
/// than they gain.
const FREE_SHARE: u64 = 8;

/// An account or relay.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) channel: Channel,
    pub(crate) partitions: Vec<u32>,
    pub(crate) simulator: bool,
    rate: f64,
    bound: bool,
    heard_at: Duration,
    /// Parts of unsettled rows, by lane.
    in_use: [u64; Lane::ALL.len()],
}

/// What may be released to an account now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Parts.
    pub(crate) parts: u64,
    /// Nothing of the lane is unsettled: one message may go even if it is longer than the credit.
    pub(crate) empty: bool,
}

impl Account {
    /// An account that control.v1 has not told of.
    fn unheard(id: AccountId) -> Self {
        let (channel, heard_at) = (Channel::Sms, Duration::ZERO);
        Self {
            id,
            channel,
            partitions: Vec::new(),
            simulator: false,
            rate: 0.0,
            bound: false,
            heard_at,
            in_use: [0; 3],
        }
    }

    /// Whether gateways that hold a bind would take a release now.
    pub(crate) fn is_bound(&self, now: Duration) -> bool {
        let heard = now.saturating_sub(self.heard_at) <= HEARD_MAX;
        self.bound && heard && self.rate > 0.0 && !self.partitions.is_empty()
    }

    /// Parts that may be unsettled in a lane, for a process that owns so many shards; at least one slice.
    pub(crate) fn credit(&self, owned_shards: usize) -> u64 {
        let share = f64::from(u32::try_from(owned_shards).unwrap_or(u32::MAX)) / f64::from(SHARDS);
        floor(CREDIT_S * self.rate * share).max(u64::from(self.slice_length(1)))
    }

    /// Parts in use in a lane.
    pub(crate) fn in_use(&self, lane: Lane) -> u64 {
        self.in_use[slot(lane)]
    }

    /// A row's parts changed from one number to another.
    pub(crate) fn use_changed(&mut self, lane: Lane, before: u64, after: u64) {
        let used = &mut self.in_use[slot(lane)];
        *used = (*used + after).saturating_sub(before);
    }

    /// What may be released in a lane; `None` while too little is free.
    pub(crate) fn room(&self, lane: Lane, owned_shards: usize) -> Option<Room> {
        let (credit, used) = (self.credit(owned_shards), self.in_use(lane));
        let room = Room { parts: credit.saturating_sub(used), empty: used == 0 };
        let least = if lane == Lane::Urgent { 1 } else { (credit / FREE_SHARE).max(1) };
        (room.empty || room.parts >= least).then_some(room)
    }

    /// Recipients of a slice whose messages have so many parts: half a second of the rate.
    pub(crate) fn slice_length(&self, parts_each: u32) -> u16 {
        let length = floor(SLICE_S * self.rate / f64::from(parts_each.max(1)));
        u16::try_from(length.clamp(1, SLICE_RECIPIENTS_MAX as u64)).unwrap_or(1)
    }

    /// The partition of the lane topics for a shard; `None` before the account was heard of.
    pub(crate) fn partition(&self, shard: usize) -> Option<u32> {
        self.partitions.get(shard.checked_rem(self.partitions.len())?).copied()
    }
}

fn slot(lane: Lane) -> usize {
    usize::from(lane.code()) - 1
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are checked to be 0 to 1e9; `as` saturates"
)]
fn floor(parts: f64) -> u64 {
    parts as u64
}

/// Every account that a chunk or control.v1 names, under a small number.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    numbers: HashMap<AccountId, AccountNo>,
    all: Vec<Account>,
}

impl Accounts {
    /// The account's number; an account that is not known yet is not bound.
    pub(crate) fn number(&mut self, id: &AccountId) -> AccountNo {
        if let Some(&number) = self.numbers.get(id) {
            return number;
        }
        let number = AccountNo(u16::try_from(self.all.len()).expect("configurations have fewer than 65,536 accounts"));
        self.numbers.insert(id.clone(), number);
        self.all.push(Account::unheard(id.clone()));
        number
    }

    pub(crate) fn get(&self, number: AccountNo) -> &Account {
        &self.all[usize::from(number.0)]
    }

    pub(crate) fn get_mut(&mut self, number: AccountNo) -> &mut Account {
        &mut self.all[usize::from(number.0)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountNo, &Account)> {
        (0..).map(AccountNo).zip(&self.all)
    }

    /// Takes an announcement that was read at that time.
    pub(crate) fn hear(&mut self, control: &event::AccountControl, heard_at: Duration) -> Result<(), BadRecord> {
        let id = AccountId::new(&control.account).map_err(|error| BadRecord::new("account", error))?;
        let legal = control.rate.is_finite() && (0.0..=1e9).contains(&control.rate);
        if !legal {
            return Err(BadRecord::new("rate", control.rate));
        }
        if let Some(&partition) = control.partitions.iter().find(|&&partition| partition >= u32::from(SHARDS)) {
            return Err(BadRecord::new("partitions", partition));
        }
        let channel = convert::channel(control.channel)?;
        let number = self.number(&id);
        let account = self.get_mut(number);
        let (partitions, simulator, rate, bound) =
            (control.partitions.clone(), control.simulator, control.rate, control.bound);
        *account = Account { channel, partitions, simulator, rate, bound, heard_at, id, in_use: account.in_use };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(rate: f64, bound: bool) -> Account {
        let control = event::AccountControl {
            account: "viet".to_owned(),
            channel: 1,
            rate,
            bound,
            partitions: vec![3, 5],
            ..Default::default()
        };
        let mut accounts = Accounts::default();
        accounts.hear(&control, Duration::from_secs(100)).unwrap();
        accounts.all.remove(0)
    }

    #[test]
    fn credit_is_three_seconds_of_the_share() {
        #[track_caller]
        fn check(rate: f64, owned: usize, credit: u64) {
            assert_eq!(account(rate, true).credit(owned), credit);
        }
        check(1_000.0, 64, 3_000);
        check(1_000.0, 32, 1_500);
        check(100.0, 1, 50); // a slice is more than its share of 4
        check(0.1, 64, 1); // at least one message
        check(500_000.0, 64, 1_500_000);
    }

    #[test]
    fn slices_are_half_a_second_of_the_rate() {
        #[track_caller]
        fn check(rate: f64, parts_each: u32, length: u16) {
            assert_eq!(account(rate, true).slice_length(parts_each), length);
        }
        check(100.0, 1, 50);
        check(100.0, 3, 16);
        check(1.0, 1, 1);
        check(50_000.0, 1, 100);
    }

    #[test]
    fn bound_means_heard_of_lately() {
        let heard = account(10.0, true);
        assert!(heard.is_bound(Duration::from_secs(115)));
        assert!(!heard.is_bound(Duration::from_secs(116)));
        assert!(!account(10.0, false).is_bound(Duration::from_secs(100)));
        assert!(!account(0.0, true).is_bound(Duration::from_secs(100)));
        let mut accounts = Accounts::default();
        let unknown = accounts.number(&AccountId::new("viet").unwrap());
        assert!(
            !accounts.get(unknown).is_bound(Duration::ZERO),
            "late binding: nothing goes to an account never heard of"
        );
    }

    #[test]
    fn lanes_do_not_share_credit() {
        let mut account = account(100.0, true);
        account.use_changed(Lane::Bulk, 0, 300);
        assert_eq!(account.room(Lane::Bulk, 64), None);
        assert_eq!(account.room(Lane::Urgent, 64), Some(Room { parts: 300, empty: true }));
        account.use_changed(Lane::Bulk, 300, 263);
        assert_eq!(account.room(Lane::Bulk, 64), Some(Room { parts: 37, empty: false }), "an eighth is free");
        account.use_changed(Lane::Bulk, 263, 264);
        assert_eq!(account.room(Lane::Bulk, 64), None, "less than an eighth is free");
    }

    #[test]
    fn shards_are_dealt_over_the_partitions() {
        assert_eq!(
            (0..4).map(|shard| account(1.0, true).partition(shard)).collect::<Vec<_>>(),
            [Some(3), Some(5), Some(3), Some(5)]
        );
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        #[track_caller]
        fn check(control: event::AccountControl, field: &str) {
            assert_eq!(Accounts::default().hear(&control, Duration::ZERO).unwrap_err().field, field);
        }
        let good = event::AccountControl { account: "viet".to_owned(), channel: 1, rate: 1.0, ..Default::default() };
        check(event::AccountControl { account: String::new(), ..good.clone() }, "account");
        check(event::AccountControl { rate: f64::NAN, ..good.clone() }, "rate");
        check(event::AccountControl { rate: -1.0, ..good.clone() }, "rate");
        check(event::AccountControl { channel: 9, ..good.clone() }, "channel");
        check(event::AccountControl { partitions: vec![64], ..good }, "partitions");
    }
}
