//! One message on its way: which parts wait, which are out, what the carrier said of them, and what that makes in the end.
//!
//! Must stay true: a message is `returned` only if no part of it was accepted or left unanswered; a part that was written
//! and not answered is never handed over again; parts go again only after a word that says they were not taken.

use std::time::Duration;

use loa_domain::state::{Reason, Returned};

/// Waits before the next try of a message that was refused for now, by tries used up before.
const RETRY_AFTER: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(300)];

/// The rest of a text of which a part was taken goes again after this much, then after twice as much, and so on.
const REST_FIRST: Duration = Duration::from_secs(1);
/// At most so long.
const REST_MAX: Duration = Duration::from_secs(8);
/// And so often: its slice is not settled meanwhile, and what a crash would leave in doubt is the whole slice.
const RESTS_MAX: u8 = 4;

/// The carrier's word on one part, without the channel's own vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken.
    Accepted,
    /// Not taken and not refused (too fast, or never written): hand it over again.
    Again,
    /// Not taken, may be later.
    Later {
        /// Not before this much time; `None` = by the number of tries.
        after: Option<Duration>,
        /// Whether this was a try of this message (not of the site or the account).
        counted: bool,
        /// The carrier's own code.
        code: Box<str>,
    },
    /// Not taken, never will be.
    Refused {
        /// `undelivered` (the address or mailbox is the reason) instead of `rejected`.
        undelivered: bool,
        /// Why.
        reason: Reason,
        /// The carrier's own code.
        code: Box<str>,
    },
    /// Written, and no answer came.
    Unanswered,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Every part was taken.
    Accepted,
    /// Refused for good.
    Rejected {
        /// Why.
        reason: Reason,
        /// The carrier's own code.
        code: Box<str>,
    },
    /// Given up.
    Undelivered {
        /// Why.
        reason: Reason,
        /// The carrier's own code.
        code: Box<str>,
    },
    /// May have reached the person.
    InDoubt {
        /// Why it is not known.
        reason: Reason,
    },
    /// Did not leave; may be released again.
    Returned {
        /// Why.
        why: Returned,
        /// Tries used up, this one included.
        attempt: u8,
        /// Not before this time; 0 = at once.
        not_before_us: i64,
        /// The carrier's own code.
        code: Box<str>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    Later { after: Option<Duration>, counted: bool, code: Box<str> },
    Refused { undelivered: bool, reason: Reason, code: Box<str> },
    Back(Returned),
}

/// The state of one message; parts are bits.
#[derive(Debug, Clone)]
pub struct Message {
    parts: u8,
    waiting: u16,
    out: u16,
    accepted: u16,
    unanswered: bool,
    /// A part was taken and the rest put off: it waits here.
    resting: bool,
    /// How often it did.
    rests: u8,
    ending: Option<Box<Ending>>,
}

impl Message {
    /// A message of so many parts, none handed over.
    pub fn new(parts: u8) -> Self {
        let waiting = all(parts);
        Self { parts, waiting, out: 0, accepted: 0, unanswered: false, resting: false, rests: 0, ending: None }
    }

    /// A message that is refused before anything was handed over.
    pub fn refused(reason: Reason) -> Self {
        let ending = Ending::Refused { undelivered: false, reason, code: Box::default() };
        Self { waiting: 0, ending: Some(Box::new(ending)), ..Self::new(1) }
    }

    /// How many parts it has.
    pub fn parts(&self) -> u8 {
        self.parts
    }

    /// The parts to hand over now.
    pub fn waiting(&self) -> u16 {
        self.waiting
    }

    /// How many parts wait.
    pub fn waiting_parts(&self) -> u32 {
        self.waiting.count_ones()
    }

    /// Whether nothing of it has left, as far as the carrier's words tell.
    pub fn is_untouched(&self) -> bool {
        self.out == 0 && self.accepted == 0 && !self.unanswered
    }

    /// The lowest `parts` waiting parts leave now: their bits.
    pub fn hand_over(&mut self, parts: u32) -> u16 {
        let mut left = self.waiting;
        let mut leaving = 0;
        for _ in 0..parts {
            let lowest = left & left.wrapping_neg();
            leaving |= lowest;
            left &= !lowest;
        }
        self.waiting &= !leaving;
        self.out |= leaving;
        leaving
    }

    /// Takes the carrier's word on a part; a second word on the same part changes nothing. True if parts wait again.
    pub fn answer(&mut self, part: u8, answer: Answer) -> bool {
        let bit = 1_u16.checked_shl(part.into()).unwrap_or(0);
        if self.out & bit == 0 {
            return false;
        }
        self.out &= !bit;
        match answer {
            Answer::Accepted => self.accepted |= bit,
            Answer::Again if self.ending.is_none() && !self.unanswered => self.waiting |= bit,
            // The message has ended meanwhile, and this part was not taken: nothing more to know.
            Answer::Again => {}
            Answer::Later { after, counted, code } => self.end(Ending::Later { after, counted, code }),
            Answer::Refused { undelivered, reason, code } => self.end(Ending::Refused { undelivered, reason, code }),
            Answer::Unanswered => {
                self.unanswered = true;
                self.waiting = 0;
            }
        }
        self.waiting & bit != 0
    }

    /// Nothing more of it is handed over: it goes back for this reason, unless parts of it are on their way.
    pub fn go_back(&mut self, why: Returned) {
        self.end(Ending::Back(why));
    }

    /// The process stops: it goes back as if it had never been offered.
    pub fn put_back(&mut self) {
        self.end(Ending::Later { after: Some(Duration::ZERO), counted: false, code: Box::default() });
    }

    /// Of a text of which a part was taken, what the carrier put off goes to the same account again: it is half on the phone,
    /// so nobody else can send the rest. How long it rests first; `None` = nothing of the kind.
    pub fn rest(&mut self) -> Option<Duration> {
        if !self.is_over() || self.unanswered || self.accepted == 0 || self.rests >= RESTS_MAX {
            return None;
        }
        let Some(Ending::Later { after, .. }) = self.ending.as_deref() else { return None };
        let wait = after.unwrap_or(REST_FIRST * (1 << self.rests)).min(REST_MAX);
        self.ending = None;
        self.resting = true;
        self.rests += 1;
        Some(wait)
    }

    /// Whether parts of it rest.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// It has rested: what was not taken waits to be handed over.
    pub fn wake(&mut self) {
        if std::mem::take(&mut self.resting) {
            self.waiting = all(self.parts) & !self.accepted;
        }
    }

    fn end(&mut self, ending: Ending) {
        self.waiting = 0;
        self.resting = false;
        // What the carrier refused stands over what it put off, and both over what we decided.
        let rank = |ending: &Ending| match ending {
            Ending::Back(_) => 0,
            Ending::Later { .. } => 1,
            Ending::Refused { .. } => 2,
        };
        if self.ending.as_ref().is_none_or(|known| rank(known) < rank(&ending)) {
            self.ending = Some(Box::new(ending));
        }
    }

    /// Whether nothing more is to come.
    pub fn is_over(&self) -> bool {
        self.out == 0 && self.waiting == 0 && !self.resting
    }

    /// What became of it, once it is over.
    pub fn fate(&self, attempts_before: u8, now_us: i64) -> Fate {
        let accepted_all = self.accepted == all(self.parts);
        match (&self.ending, self.accepted) {
            _ if accepted_all => Fate::Accepted,
            _ if self.unanswered => Fate::InDoubt { reason: Reason::NoAnswer },
            (Some(ending), 0) => ending.fate(attempts_before, now_us),
            (Some(ending), _) => match &**ending {
                Ending::Refused { code, .. } => Fate::Undelivered { reason: Reason::Partial, code: code.clone() },
                Ending::Later { .. } | Ending::Back(_) => Fate::InDoubt { reason: Reason::Partial },
            },
            (None, _) => Fate::InDoubt { reason: Reason::NoAnswer },
        }
    }
}

impl Ending {
    fn fate(&self, attempts_before: u8, now_us: i64) -> Fate {
        match self {
            Self::Refused { undelivered: false, reason, code } => {
                Fate::Rejected { reason: *reason, code: code.clone() }
            }
            Self::Refused { undelivered: true, reason, code } => {
                Fate::Undelivered { reason: *reason, code: code.clone() }
            }
            Self::Back(why) => {
                Fate::Returned { why: *why, attempt: attempts_before, not_before_us: 0, code: Box::default() }
            }
            Self::Later { after, counted, code } => {
                let step = usize::from(attempts_before).min(RETRY_AFTER.len() - 1);
                let after = after.unwrap_or_else(|| RETRY_AFTER.get(step).copied().unwrap_or_default());
                let after_us = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
                Fate::Returned {
                    why: Returned::Retry,
                    attempt: attempts_before.saturating_add(u8::from(*counted)),
                    not_before_us: now_us.saturating_add(after_us),
                    code: code.clone(),
                }
            }
        }
    }
}

fn all(parts: u8) -> u16 {
    1_u16.checked_shl(parts.into()).map_or(u16::MAX, |bit| bit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn later() -> Answer {
        Answer::Later { after: None, counted: true, code: "0x45".into() }
    }

    fn refused() -> Answer {
        Answer::Refused { undelivered: false, reason: Reason::Refused, code: "0x0b".into() }
    }

    fn after(parts: u8, answers: &[(u8, Answer)], back: Option<Returned>) -> (bool, Fate) {
        let mut message = Message::new(parts);
        message.hand_over(parts.into());
        for (part, answer) in answers {
            message.answer(*part, answer.clone());
        }
        back.into_iter().for_each(|why| message.go_back(why));
        (message.is_over(), message.fate(0, 1_000))
    }

    #[test]
    fn words_make_a_fate() {
        #[track_caller]
        fn check(parts: u8, answers: &[(u8, Answer)], back: Option<Returned>, fate: Fate) {
            assert_eq!(after(parts, answers, back), (true, fate));
        }
        let retry = |code: &str| Fate::Returned {
            why: Returned::Retry,
            attempt: 1,
            not_before_us: 5_001_000,
            code: code.into(),
        };
        let late = || Fate::Returned { why: Returned::Late, attempt: 0, not_before_us: 0, code: "".into() };
        let partial = || Fate::InDoubt { reason: Reason::Partial };
        use Answer::{Accepted, Again, Unanswered};
        check(1, &[(0, Accepted)], None, Fate::Accepted);
        check(1, &[(0, later())], None, retry("0x45"));
        check(1, &[(0, refused())], None, Fate::Rejected { reason: Reason::Refused, code: "0x0b".into() });
        check(1, &[(0, Unanswered)], None, Fate::InDoubt { reason: Reason::NoAnswer });
        check(1, &[(0, Again)], Some(Returned::Late), late()); // throttled until its time was over
        check(2, &[(0, Accepted), (1, Accepted)], None, Fate::Accepted);
        check(2, &[(0, later()), (1, later())], None, retry("0x45"));
        check(2, &[(0, Again), (1, Again)], Some(Returned::Late), late());
        check(
            2,
            &[(0, Accepted), (1, refused())],
            None,
            Fate::Undelivered { reason: Reason::Partial, code: "0x0b".into() },
        );
        check(2, &[(0, Accepted), (1, later())], None, partial()); // half a text may be on the phone
        check(2, &[(0, Accepted), (1, Again)], Some(Returned::Paused), partial());
        check(2, &[(0, Unanswered), (1, later())], None, Fate::InDoubt { reason: Reason::NoAnswer });
        check(
            2,
            &[(0, later()), (1, refused())],
            None,
            Fate::Rejected { reason: Reason::Refused, code: "0x0b".into() },
        );
    }

    #[test]
    fn the_wait_grows_with_the_tries() {
        let wait = |attempts| {
            let mut message = Message::new(1);
            message.hand_over(1);
            message.answer(0, later());
            match message.fate(attempts, 0) {
                Fate::Returned { attempt, not_before_us, .. } => (attempt, not_before_us / 1_000_000),
                fate => panic!("{fate:?}"),
            }
        };
        assert_eq!([0, 1, 2, 7].map(wait), [(1, 5), (2, 30), (3, 300), (8, 300)]);
    }

    #[test]
    fn a_throttled_part_goes_again_alone() {
        let mut message = Message::new(3);
        assert_eq!(message.hand_over(3), 0b111);
        assert!(!message.answer(0, Answer::Accepted));
        assert!(message.answer(1, Answer::Again));
        assert!(!message.answer(2, Answer::Accepted));
        assert!(!message.is_over());
        assert_eq!(message.hand_over(5), 0b010);
        message.answer(1, Answer::Accepted);
        assert_eq!((message.is_over(), message.fate(0, 0)), (true, Fate::Accepted));
    }

    #[test]
    fn the_rest_of_a_text_that_was_partly_taken_goes_again() {
        let mut message = Message::new(3);
        message.hand_over(3);
        message.answer(1, later());
        message.answer(0, Answer::Accepted);
        assert_eq!(message.rest(), None, "a part is out");
        message.answer(2, later());
        assert_eq!(message.rest(), Some(REST_FIRST));
        assert_eq!((message.is_over(), message.waiting()), (false, 0));
        message.wake();
        assert_eq!(message.hand_over(9), 0b110);
        message.answer(1, Answer::Accepted);
        message.answer(2, later());
        assert_eq!(message.rest(), Some(2 * REST_FIRST), "it waits longer each time");
        let mut late = message.clone();
        late.go_back(Returned::Late);
        late.wake();
        assert_eq!((late.rest(), late.is_over(), late.waiting()), (None, true, 0));
        assert_eq!(late.fate(0, 0), Fate::InDoubt { reason: Reason::Partial }, "two thirds of it may be on the phone");
        message.wake();
        message.hand_over(1);
        message.answer(2, Answer::Accepted);
        assert_eq!((message.rest(), message.fate(0, 0)), (None, Fate::Accepted));

        let mut refused = Message::new(2);
        refused.hand_over(2);
        refused.answer(0, Answer::Accepted);
        let mut waits = Vec::new();
        loop {
            refused.answer(1, later());
            let Some(wait) = refused.rest() else { break };
            waits.push(wait.as_secs());
            refused.wake();
            refused.hand_over(1);
        }
        assert_eq!(waits, [1, 2, 4, 8], "it is given up in a time that a slice may wait");
        assert_eq!(refused.fate(0, 0), Fate::InDoubt { reason: Reason::Partial });

        let mut untouched = Message::new(2);
        untouched.hand_over(2);
        untouched.answer(0, later());
        untouched.answer(1, later());
        assert_eq!(untouched.rest(), None, "nothing was taken: dispatch may choose another account");
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            Just(Answer::Accepted),
            Just(Answer::Again),
            Just(later()),
            Just(refused()),
            Just(Answer::Unanswered)
        ]
    }

    proptest! {
        /// Whatever comes in whatever order: what is returned or rejected left nothing with the carrier.
        #[test]
        fn nothing_goes_twice(parts in 1..=10_u8, rests in any::<bool>(), answers in proptest::collection::vec((0..10_u8, any_answer()), 0..40)) {
            let mut message = Message::new(parts);
            let (mut taken, mut unknown, mut out) = (0_u16, 0_u16, message.hand_over(parts.into()));
            for (part, answer) in answers {
                let bit = 1 << part;
                if out & bit != 0 {
                    match answer {
                        Answer::Accepted => taken |= bit,
                        Answer::Unanswered => unknown |= bit,
                        _ => {}
                    }
                    out &= !bit;
                }
                message.answer(part, answer);
                if rests && message.rest().is_some() {
                    message.wake();
                }
                let again = message.hand_over(10);
                prop_assert_eq!(again & (taken | unknown | out), 0, "a part is handed over again only if it was not taken");
                out |= again;
            }
            while out != 0 {
                let part = u8::try_from(out.trailing_zeros()).unwrap();
                out &= !(1 << part);
                unknown |= 1 << part;
                message.answer(part, Answer::Unanswered);
            }
            message.go_back(Returned::Late);
            prop_assert!(message.is_over());
            match message.fate(0, 0) {
                Fate::Accepted => prop_assert_eq!(taken, all(parts)),
                Fate::Returned { .. } | Fate::Rejected { .. } => prop_assert_eq!(taken | unknown, 0),
                Fate::Undelivered { .. } => prop_assert!(taken != 0 && unknown == 0),
                Fate::InDoubt { .. } => prop_assert!(taken | unknown != 0),
            }
        }
    }
}
