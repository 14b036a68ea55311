//! What a standing claim means for the slice of a record that is read.
//!
//! Must stay true: a slice is handed over by this process only under its own claim of this attempt; a claim that somebody
//! began and did not settle is in doubt, never tried again.

use bytes::Bytes;
use loa_domain::ids::Incarnation;
use loa_domain::state::Returned;
use loa_ports::store::claims::{Intent, Standing};

/// What to do with a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The claim is mine and of this attempt: do as it says.
    Mine(Intent),
    /// It is settled: say its settlement again.
    Repeat(Bytes),
    /// Its claimant gave it back without handing anything over: say so again.
    ReturnedBy(Incarnation, Returned),
    /// Its claimant began and has not settled: in doubt, until the claimant's own word comes.
    InDoubtOf(Incarnation),
}

/// Decides by the claim that stands; the slice is not in flight in this process.
pub(crate) fn decide(standing: Standing, me: Incarnation, nonce: u64) -> Decision {
    let Standing { incarnation, nonce: theirs, intent, settlement } = standing;
    match (settlement, intent) {
        (Some(settlement), _) => Decision::Repeat(settlement),
        (None, intent) if incarnation == me && theirs == nonce => Decision::Mine(intent),
        (None, Intent::Returning(why)) => Decision::ReturnedBy(incarnation, why),
        (None, Intent::Begun) => Decision::InDoubtOf(incarnation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_record_read_again_is_answered_from_its_claims() {
        let (me, other) = (Incarnation(Uuid::from_u128(1)), Incarnation(Uuid::from_u128(2)));
        let back = Intent::Returning(Returned::Late);
        #[track_caller]
        fn check(
            incarnation: Incarnation,
            nonce: u64,
            intent: Intent,
            settlement: Option<&'static [u8]>,
            decision: Decision,
        ) {
            let settlement = settlement.map(Bytes::from_static);
            let standing = Standing { incarnation, nonce, intent, settlement };
            assert_eq!(decide(standing, Incarnation(Uuid::from_u128(1)), 7), decision);
        }
        check(me, 7, Intent::Begun, None, Decision::Mine(Intent::Begun));
        check(me, 7, back, None, Decision::Mine(back));
        check(me, 6, Intent::Begun, None, Decision::InDoubtOf(me)); // an earlier attempt that nobody remembers
        check(other, 7, Intent::Begun, None, Decision::InDoubtOf(other)); // the same number by another process
        check(other, 7, back, None, Decision::ReturnedBy(other, Returned::Late));
        check(me, 3, back, None, Decision::ReturnedBy(me, Returned::Late));
        check(other, 1, Intent::Begun, Some(b"s"), Decision::Repeat(Bytes::from_static(b"s")));
        check(me, 7, Intent::Begun, Some(b"s"), Decision::Repeat(Bytes::from_static(b"s")));
    }
}
