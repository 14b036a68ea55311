//! Answers to requests of requests.v1: what their senders are to be told on results.v1, and what they were told.
//!
//! What is due follows from two stored things alone: where the recipient stands, and what was told last. So a crash between
//! telling and noting repeats an answer, and none is lost.
//!
//! Must stay true: nothing is told that is not stored; no address and no text is told; a final state is told last.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{ResultsTopic, Topic as _};
use loa_domain::ids::ChunkKey;
use loa_domain::state::RecipientState;
use loa_ports::log::Append;
use loa_ports::store::report::ReplyRow;
use loa_runtime::record;

use crate::chunk::Entry;

/// The CloudEvents type of a result.
const OUTCOME_TYPE: &str = "vn.loa.outcome.v1";
/// An answer that may still come is waited for so long: as long as results.v1 keeps what was told.
pub(crate) const REPLY_AGE_US_MAX: i64 = 7 * 24 * 3_600 * 1_000_000;

/// The requests of one shard that are not answered to their end.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    open: HashMap<ChunkKey, BTreeMap<u16, ReplyRow>>,
    /// Chunks of which something changed since it was looked at.
    due: BTreeSet<ChunkKey>,
    /// Rows to be written.
    changed: BTreeSet<(ChunkKey, u16)>,
    /// Rows to be deleted.
    ended: BTreeSet<(ChunkKey, u16)>,
}

/// An answer on its way.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The chunk of its request.
    pub key: ChunkKey,
    /// Index in the chunk.
    pub index: u16,
    /// What it tells; `Open` = accepted.
    pub state: RecipientState,
    /// The record.
    pub append: Append,
}

impl Replies {
    /// As stored.
    pub(crate) fn from_store(rows: Vec<ReplyRow>) -> Self {
        let mut replies = Self::default();
        for row in rows {
            replies.due.insert(row.key);
            replies.open.entry(row.key).or_default().insert(row.index, row);
        }
        replies
    }

    /// A request was taken in.
    pub(crate) fn add(&mut self, row: ReplyRow) {
        let (key, index) = (row.key, row.index);
        self.open.entry(key).or_default().entry(index).or_insert(row);
        self.changed.insert((key, index));
        self.due.insert(key);
    }

    /// Something about the chunk changed.
    pub(crate) fn touch(&mut self, key: ChunkKey) {
        if self.open.contains_key(&key) {
            self.due.insert(key);
        }
    }

    /// Answers that are due, about `max` of them; `entry` says where a recipient stands.
    pub(crate) fn answers(
        &mut self,
        max: usize,
        now_us: i64,
        entry: impl Fn(ChunkKey, u16) -> Option<Entry>,
    ) -> Vec<Answer> {
        let mut answers = Vec::new();
        while answers.len() < max {
            let Some(key) = self.due.pop_first() else { break };
            for (index, row) in self.open.get(&key).into_iter().flatten() {
                let Some(entry) = entry(key, *index) else { continue };
                for state in due(row.told, entry.known.state) {
                    answers.push(Answer { key, index: *index, state, append: result(row, state, &entry, now_us) });
                }
            }
        }
        answers
    }

    /// These are on the log.
    pub(crate) fn told(&mut self, answers: &[Answer]) {
        for Answer { key, index, state, .. } in answers {
            let Some(rows) = self.open.get_mut(key) else { continue };
            if state.is_final() {
                rows.remove(index);
                self.ended.insert((*key, *index));
            } else if let Some(row) = rows.get_mut(index) {
                row.told = Some(*state);
                self.changed.insert((*key, *index));
            }
            if rows.is_empty() {
                self.open.remove(key);
            }
        }
    }

    /// These are not on the log, or it is not known.
    pub(crate) fn not_told(&mut self, answers: &[Answer]) {
        self.due.extend(answers.iter().map(|answer| answer.key));
    }

    /// Requests to whose end no answer comes any more are forgotten.
    pub(crate) fn forget(&mut self, accepted_before_us: i64) {
        for (key, rows) in &mut self.open {
            let old = rows.iter().filter(|(_, row)| row.accepted_at_us < accepted_before_us);
            self.ended.extend(old.map(|(&index, _)| (*key, index)));
            rows.retain(|_, row| row.accepted_at_us >= accepted_before_us);
        }
        self.open.retain(|_, rows| !rows.is_empty());
    }

    /// Rows to be written, and rows to be deleted.
    pub(crate) fn changes(&self) -> (Vec<ReplyRow>, Vec<(ChunkKey, u16)>) {
        let row = |(key, index): &(ChunkKey, u16)| self.open.get(key)?.get(index).cloned();
        (self.changed.iter().filter_map(row).collect(), self.ended.iter().copied().collect())
    }

    /// The changes are stored.
    pub(crate) fn flushed(&mut self) {
        self.changed.clear();
        self.ended.clear();
    }
}

/// What is to be told of a recipient that stands there, in order.
fn due(told: Option<RecipientState>, state: RecipientState) -> impl Iterator<Item = RecipientState> {
    let accepted = told.is_none().then_some(RecipientState::Open);
    // A message that went back after its hand-over was in doubt is open again, which nobody needs to know.
    let news = (state != RecipientState::Open && told != Some(state)).then_some(state);
    accepted.into_iter().chain(news)
}

/// The record: a function of what is stored, but for the time of a word that has none.
fn result(row: &ReplyRow, state: RecipientState, entry: &Entry, now_us: i64) -> Append {
    let accepted = state == RecipientState::Open;
    let name = if accepted { "accepted" } else { state.name() };
    let message_id = format!("{:016x}", row.message_id);
    let at_us = match state {
        RecipientState::Open => row.accepted_at_us,
        RecipientState::Submitted => entry.submitted_at_us,
        _ => entry.final_at_us,
    };
    let result = event::SendResult {
        message_id: message_id.clone(),
        state: name.to_owned(),
        reason: if accepted { String::new() } else { entry.reason.name().to_owned() },
        at_us: if at_us == 0 { now_us } else { at_us },
    };
    let partition = row.partition % ResultsTopic::SPEC.partitions;
    let mut append = record::append::<ResultsTopic>(partition, Bytes::from(row.record_key.clone()), &result);
    let attributes = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_type", OUTCOME_TYPE.to_owned()),
        ("ce_source", "loa".to_owned()),
        ("ce_id", format!("{message_id}-{name}")),
        ("ce_subject", row.idempotency_key.clone()),
        ("content-type", "application/protobuf".to_owned()),
    ];
    append.headers.extend(attributes.map(|(name, value)| (name.to_owned(), Bytes::from(value))));
    append
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::ids::FreezeId;
    use loa_domain::state::{Known, Reason};
    use prost::Message as _;
    use uuid::Uuid;

    use RecipientState as S;

    fn row(told: Option<S>) -> ReplyRow {
        ReplyRow {
            key: ChunkKey { freeze: FreezeId(Uuid::from_u128(1)), variant: 0, chunk: 0 },
            index: 3,
            shard: 5,
            idempotency_key: "ho-so-1".to_owned(),
            message_id: 0xab,
            partition: 7,
            record_key: b"mot-cua".to_vec(),
            accepted_at_us: 1_000,
            told,
        }
    }

    fn entry(state: S) -> Entry {
        Entry {
            known: Known { state, release_no: 1, own: true },
            reason: Reason::None,
            repeated: false,
            parts: 1,
            parts_delivered: 0,
            submitted_at_us: 2_000,
            final_at_us: if state.is_final() { 3_000 } else { 0 },
        }
    }

    #[test]
    fn what_is_due_follows_from_state_and_told() {
        #[track_caller]
        fn check(told: Option<S>, state: S, expected: &[S]) {
            assert_eq!(due(told, state).collect::<Vec<_>>(), expected, "{told:?} {state:?}");
        }
        check(None, S::Open, &[S::Open]);
        check(None, S::Delivered, &[S::Open, S::Delivered]);
        check(Some(S::Open), S::Open, &[]);
        check(Some(S::Open), S::Skipped, &[S::Skipped]);
        check(Some(S::Open), S::InDoubt, &[S::InDoubt]);
        check(Some(S::InDoubt), S::InDoubt, &[]);
        check(Some(S::InDoubt), S::Open, &[]);
        check(Some(S::InDoubt), S::Delivered, &[S::Delivered]);
        check(Some(S::Submitted), S::Submitted, &[]);
        check(Some(S::Submitted), S::Unknown, &[S::Unknown]);
    }

    #[test]
    fn a_result_goes_to_its_sender_and_names_its_request() {
        let append = result(&row(None), S::Delivered, &entry(S::Delivered), 9_000);
        let header = |name: &str| append.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        assert_eq!((append.topic.name, append.partition, &append.key[..]), ("results.v1", 7, &b"mot-cua"[..]));
        assert_eq!(header("ce_subject"), Some(Bytes::from_static(b"ho-so-1")));
        assert_eq!(header("ce_type"), Some(Bytes::from_static(b"vn.loa.outcome.v1")));
        assert_eq!(header("ce_id"), Some(Bytes::from_static(b"00000000000000ab-delivered")));
        let told = event::SendResult::decode(append.value.clone()).unwrap();
        let (message_id, state, reason) = ("00000000000000ab".to_owned(), "delivered".to_owned(), String::new());
        assert_eq!(told, event::SendResult { message_id, state, reason, at_us: 3_000 });
    }

    #[test]
    fn an_answer_is_due_until_it_is_on_the_log() {
        let delivered = entry(S::Delivered);
        let mut replies = Replies::default();
        replies.add(row(None));
        let first = replies.answers(10, 0, |_, _| Some(delivered));
        let states: Vec<_> = first.iter().map(|answer| answer.state).collect();
        assert_eq!(states, [S::Open, S::Delivered]);
        assert!(replies.answers(10, 0, |_, _| Some(delivered)).is_empty(), "they are under way");
        replies.not_told(&first);
        let again = replies.answers(10, 0, |_, _| Some(delivered));
        assert_eq!(again.len(), 2);
        replies.told(&again);
        assert_eq!(replies.changes(), (vec![], vec![(row(None).key, 3)]), "answered to its end: the row goes");
        replies.flushed();
        replies.touch(row(None).key);
        assert!(replies.answers(10, 0, |_, _| Some(delivered)).is_empty());
    }

    #[test]
    fn a_crash_before_it_was_noted_tells_again() {
        let open = entry(S::Open);
        let mut stored = Replies::from_store(vec![row(None)]);
        let told = stored.answers(10, 0, |_, _| Some(open));
        stored.told(&told);
        assert_eq!(stored.changes().0, [row(Some(S::Open))]);
        let mut lost = Replies::from_store(vec![row(None)]);
        let again = lost.answers(10, 0, |_, _| Some(open));
        assert_eq!(again[0].append.headers, told[0].append.headers, "the same CloudEvents id");
    }

    #[test]
    fn what_nobody_waits_for_is_forgotten() {
        let mut replies = Replies::from_store(vec![row(Some(S::InDoubt))]);
        replies.forget(1_000);
        assert_eq!(replies.changes(), (vec![], vec![]));
        replies.forget(1_001);
        assert_eq!(replies.changes(), (vec![], vec![(row(None).key, 3)]));
        assert!(replies.open.is_empty());
    }
}
