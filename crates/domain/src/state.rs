//! What the ledger knows of one recipient, and how a new word about it is taken.
//!
//! Words (settlements, receipts, bounces, skips) reach the ledger in any order and more than once. Merging is therefore a
//! rank: the higher word wins, an equal or lower one changes nothing, a final state is never left.
//!
//! Must stay true: merging the same words in any order and number gives the same final state.

use crate::channel::closed_set;

closed_set!(
    /// What is known of one recipient.
    RecipientState, "recipient state", {
        /// Not handed over yet; may still be released.
        Open = 1 "open",
        /// May have been handed over: the hand-over began and its result was lost.
        InDoubt = 2 "in_doubt",
        /// Handed over and accepted by the carrier; the receipt is awaited.
        Submitted = 3 "submitted",
        /// On the phone, or taken by the next mail hop.
        Delivered = 4 "delivered",
        /// The carrier or mail server gave up.
        Undelivered = 5 "undelivered",
        /// The validity passed at the carrier.
        Expired = 6 "expired",
        /// Refused for good.
        Rejected = 7 "rejected",
        /// No receipt within 72 h.
        Unknown = 8 "unknown",
        /// Not sent, for a reason of law or policy.
        Skipped = 9 "skipped",
        /// Not sent, since the campaign was cancelled.
        Cancelled = 10 "cancelled",
    }
);

impl RecipientState {
    /// Whether nothing more is to come.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Open | Self::InDoubt | Self::Submitted)
    }

    fn rank(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::InDoubt => 1,
            Self::Submitted => 2,
            Self::Delivered
            | Self::Undelivered
            | Self::Expired
            | Self::Rejected
            | Self::Unknown
            | Self::Skipped
            | Self::Cancelled => 3,
        }
    }
}

closed_set!(
    /// Why a recipient is in its state; stable codes in stored rows and records.
    Reason, "reason", {
        /// Nothing to explain.
        None = 0 "",
        /// On the suppression list.
        Suppressed = 1 "SUPPRESSED",
        /// On the do-not-call register.
        Dnc = 2 "DNC",
        /// No provable consent.
        NoConsent = 3 "NO_CONSENT",
        /// Consent was withdrawn.
        ConsentWithdrawn = 4 "CONSENT_WITHDRAWN",
        /// The daily cap is used up.
        CapDay = 5 "CAP_DAY",
        /// The weekly cap is used up.
        CapWeek = 6 "CAP_WEEK",
        /// Outside the class's hours.
        QuietHours = 7 "QUIET_HOURS",
        /// The sender is not registered or not valid.
        SenderInvalid = 8 "SENDER_INVALID",
        /// Below the age for this class.
        Underage = 9 "UNDERAGE",
        /// No valid address for the channel.
        InvalidAddress = 10 "INVALID_ADDRESS",
        /// The address was taken already in this freeze.
        Duplicate = 11 "DUPLICATE",
        /// Outside the campaign's area.
        OutOfArea = 12 "OUT_OF_AREA",
        /// No account takes this address.
        NoRoute = 13 "NO_ROUTE",
        /// The campaign or the message was over.
        Expired = 14 "EXPIRED",
        /// The person asked to be erased.
        Erased = 15 "ERASED",
        /// The carrier or server refused the message for good.
        Refused = 16 "REFUSED",
        /// The tries were used up.
        TriesUsedUp = 17 "TRIES_USED_UP",
        /// Some parts of a long text were taken and some not.
        Partial = 18 "PARTIAL",
        /// Handed over, and the answer never came.
        NoAnswer = 19 "NO_ANSWER",
        /// The process that had claimed the slice died or fell silent.
        ClaimantGone = 20 "CLAIMANT_GONE",
        /// A receipt said so.
        Receipt = 21 "RECEIPT",
        /// No receipt came in time.
        NoReceipt = 22 "NO_RECEIPT",
        /// The campaign was cancelled.
        Cancelled = 23 "CANCELLED",
        /// The rendered text is longer than the account or Loa allows.
        TooLong = 24 "TOO_LONG",
        /// The content could not be rendered for this recipient.
        Render = 25 "RENDER",
        /// A mailbox that does not exist.
        NoMailbox = 26 "NO_MAILBOX",
        /// The server refused our sender, content or policy.
        PolicyHalt = 27 "POLICY_HALT",
    }
);

closed_set!(
    /// Why a gateway gave a message back without handing it over; it may be released again.
    Returned, "return reason", {
        /// Refused for now; again after `not_before`.
        Retry = 1 "retry",
        /// `hand_over_by` had passed.
        Late = 2 "late",
        /// The campaign was paused or halted.
        Paused = 3 "paused",
        /// The campaign was cancelled.
        Cancelled = 4 "cancelled",
        /// A block of the last hour names this address: decide again.
        Recheck = 5 "recheck",
    }
);

/// One word about one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The state it speaks of.
    pub state: RecipientState,
    /// The release it speaks of.
    pub release_no: u32,
    /// The claimant's own word; else somebody found an unsettled claim of another.
    pub own: bool,
    /// A receipt or bounce: counts for any release.
    pub receipt: bool,
}

/// What is kept of the word that won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The state in force.
    pub state: RecipientState,
    /// The release of the word that set it.
    pub release_no: u32,
    /// Whether that was the claimant's own word.
    pub own: bool,
}

impl Known {
    /// Where every recipient starts.
    pub const START: Self = Self { state: RecipientState::Open, release_no: 0, own: false };

    /// Takes a word: the new knowledge, or `None` if the word changes nothing.
    pub fn merge(self, word: Word) -> Option<Self> {
        if self.state.is_final() {
            return None;
        }
        let next = Self {
            state: word.state,
            release_no: word.release_no.max(if word.receipt { self.release_no } else { 0 }),
            own: word.own,
        };
        let wins = (word.receipt && word.state.is_final()) || next.order() > self.order();
        wins.then_some(next)
    }

    /// Whether the word tells of a second hand-over: accepted once by another release than the one known.
    pub fn repeated_by(self, word: Word) -> bool {
        let handed_over = |state| matches!(state, RecipientState::Submitted | RecipientState::Delivered);
        !word.receipt && handed_over(word.state) && handed_over(self.state) && word.release_no != self.release_no
    }

    fn order(self) -> (u32, bool, u8) {
        (self.release_no, self.own, self.state.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecipientState::*;
    use proptest::prelude::*;

    fn word(state: RecipientState, release_no: u32, own: bool) -> Word {
        Word { state, release_no, own, receipt: false }
    }

    fn receipt(state: RecipientState) -> Word {
        Word { state, release_no: 1, own: true, receipt: true }
    }

    fn after(words: &[Word]) -> RecipientState {
        words.iter().fold(Known::START, |known, &word| known.merge(word).unwrap_or(known)).state
    }

    #[test]
    fn the_higher_word_wins() {
        #[track_caller]
        fn check(words: &[Word], state: RecipientState) {
            assert_eq!(after(words), state);
        }
        check(&[], Open);
        check(&[word(Submitted, 1, true)], Submitted);
        check(&[word(InDoubt, 1, false), word(Submitted, 1, true)], Submitted); // the claimant's own word overrides
        check(&[word(Submitted, 1, true), word(InDoubt, 1, false)], Submitted);
        check(&[word(InDoubt, 1, false), word(Open, 1, true)], Open); // returned by the claimant itself
        check(&[word(Open, 1, true), word(InDoubt, 1, false)], Open);
        check(&[word(Open, 1, true), word(Submitted, 2, true), word(Open, 1, true)], Submitted);
        check(&[receipt(Delivered), word(Submitted, 1, true)], Delivered); // a receipt may overtake its acceptance
        check(&[word(Submitted, 2, true), receipt(Undelivered)], Undelivered); // and counts for any release
        check(&[receipt(Delivered), receipt(Undelivered)], Delivered); // a final state is never left
        check(&[word(InDoubt, 1, false), receipt(Delivered)], Delivered);
    }

    #[test]
    fn a_second_hand_over_is_seen() {
        let known = Known { state: Submitted, release_no: 1, own: true };
        assert!(known.repeated_by(word(Submitted, 2, true)));
        assert!(!known.repeated_by(word(Submitted, 1, true)), "the same word again is no second hand-over");
        assert!(!known.repeated_by(receipt(Delivered)));
        assert!(!known.repeated_by(word(InDoubt, 2, false)));
    }

    fn any_word() -> impl Strategy<Value = Word> {
        // What one recipient can really be told: of each release one claimant's outcome, in doubt by others, one receipt.
        prop_oneof![
            (1..4_u32).prop_map(|no| word(InDoubt, no, false)),
            (1..3_u32).prop_map(|no| word(Open, no, true)),
            Just(word(Submitted, 3, true)),
            Just(receipt(Delivered)),
        ]
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(words in proptest::collection::vec(any_word(), 0..8), seed: u64) {
            let mut other = words.clone();
            other.extend(words.clone());
            let turn = usize::try_from(seed % 16).unwrap() % other.len().max(1);
            other.rotate_left(turn);
            other.reverse();
            prop_assert_eq!(after(&words), after(&other));
        }
    }
}
