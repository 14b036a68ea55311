//! Which indices go into the next row: as many as the credit allows, less those that may not be sent.
//!
//! Must stay true: an index that was looked at is offered, decided, or left exactly where it was; what is offered fits
//! the room.

use loa_domain::mask::Mask;
use loa_domain::state::{Reason, RecipientState};
use loa_ports::store::dispatch::Decided;

use super::account::Room;
use super::data::{ChunkData, RELEASE_BYTES_MAX};

/// What decides over each index.
#[derive(Debug)]
pub(crate) struct Picking<'a> {
    pub(crate) data: &'a ChunkData,
    /// Who is on the suppression list for this campaign.
    pub(crate) suppressed: Mask,
    /// What becomes of them; `None`: it reaches everybody.
    pub(crate) reason: Option<Reason>,
    pub(crate) campaign_ends_us: i64,
    pub(crate) now_us: i64,
    pub(crate) room: Room,
}

/// What was picked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) mask: Mask,
    /// Tries so far, one per picked index.
    pub(crate) attempts: Vec<u8>,
    pub(crate) parts: u32,
    pub(crate) decided: Vec<Decided>,
    /// The earliest deadline of what was picked.
    pub(crate) expires_us: i64,
    /// The first index that did not fit.
    pub(crate) stopped_at: Option<u16>,
}

impl Picking<'_> {
    /// Goes through the indices (in order, with their tries so far) until one does not fit.
    pub(crate) fn pick(&self, indices: impl Iterator<Item = (u16, u8)>) -> Picked {
        let mut picked = Picked { expires_us: i64::MAX, ..Picked::default() };
        let mut bytes = 0;
        for (index, attempts) in indices {
            let expires_us = self.data.expires_of(index, self.campaign_ends_us);
            if let Some(reason) = self.skip(index, expires_us) {
                picked.decided.push(Decided { index, state: RecipientState::Skipped, reason });
                continue;
            }
            let parts = picked.parts + self.data.parts_of(index);
            bytes += self.data.bytes_of(index);
            let alone = self.room.empty && picked.mask.is_empty();
            if !alone && (u64::from(parts) > self.room.parts || bytes > RELEASE_BYTES_MAX) {
                picked.stopped_at = Some(index);
                break;
            }
            picked.mask.insert(index);
            picked.attempts.push(attempts);
            picked.parts = parts;
            picked.expires_us = picked.expires_us.min(expires_us);
        }
        if picked.attempts.iter().all(|&attempts| attempts == 0) {
            picked.attempts.clear();
        }
        picked
    }

    fn skip(&self, index: u16, expires_us: i64) -> Option<Reason> {
        match self.reason {
            Some(reason) if self.suppressed.contains(index) => Some(reason),
            _ => (expires_us <= self.now_us).then_some(Reason::Expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::ids::{AccountId, ChunkKey, FreezeId, Shard};
    use uuid::Uuid;

    fn data(parts: &[u8], expires_us: &[i64]) -> ChunkData {
        ChunkData {
            key: ChunkKey { freeze: FreezeId(Uuid::nil()), variant: 0, chunk: 0 },
            shard: Shard::new(0).unwrap(),
            account: AccountId::new("viet").unwrap(),
            msisdns: (0..parts.len() as u64).collect(),
            mailboxes: vec![],
            slots: vec![],
            parts: parts.to_vec(),
            hashes: (0..parts.len() as u64).collect(),
            expires_us: expires_us.to_vec(),
            content_hash: None,
            traceparent: None,
        }
    }

    fn pick(
        data: &ChunkData,
        suppressed: &[u16],
        reason: Option<Reason>,
        room: u64,
        empty: bool,
    ) -> (Vec<u16>, Vec<(u16, Reason)>, Option<u16>) {
        let suppressed = suppressed.iter().copied().collect();
        let room = Room { parts: room, empty };
        let picking = Picking { data, suppressed, reason, campaign_ends_us: 100, now_us: 50, room };
        let picked = picking.pick((0..data.size()).map(|index| (index, 0)));
        let decided = picked.decided.iter().map(|decided| (decided.index, decided.reason)).collect();
        (picked.mask.iter().collect(), decided, picked.stopped_at)
    }

    #[test]
    fn takes_what_fits_and_skips_whom_the_law_protects() {
        let plain = data(&[1, 2, 1, 1], &[]);
        let reason = Some(Reason::Suppressed);
        assert_eq!(pick(&plain, &[], reason, 10, false), (vec![0, 1, 2, 3], vec![], None));
        assert_eq!(pick(&plain, &[], reason, 3, false), (vec![0, 1], vec![], Some(2)));
        assert_eq!(pick(&plain, &[1], reason, 2, false), (vec![0, 2], vec![(1, Reason::Suppressed)], Some(3)));
        assert_eq!(pick(&plain, &[1], None, 9, false).0, [0, 1, 2, 3], "an emergency reaches everybody");
        assert_eq!(pick(&plain, &[3], reason, 0, false), (vec![], vec![], Some(0)));
    }

    #[test]
    fn a_message_longer_than_the_credit_goes_alone() {
        let long = data(&[9, 1], &[]);
        assert_eq!(pick(&long, &[], None, 4, false), (vec![], vec![], Some(0)));
        assert_eq!(pick(&long, &[], None, 4, true), (vec![0], vec![], Some(1)));
    }

    #[test]
    fn what_is_over_is_skipped() {
        let own = data(&[1, 1, 1], &[50, 51, 1_000]);
        assert_eq!(pick(&own, &[], None, 9, false), (vec![1, 2], vec![(0, Reason::Expired)], None));
    }

    #[test]
    fn a_record_stays_below_its_limit() {
        let mut wide = data(&[1; 500], &[]);
        let values = vec!["ỗ".repeat(1_000); 500]; // 3,000 bytes each
        wide.slots = vec![loa_contract::pb::event::v1::SlotColumn { name: "x".to_owned(), values }];
        let (taken, _, stopped) = pick(&wide, &[], None, 500, true);
        assert!(taken.len() > 250 && taken.len() * 3_000 < RELEASE_BYTES_MAX, "{}", taken.len());
        assert_eq!(stopped, Some(u16::try_from(taken.len()).unwrap()));
    }
}
