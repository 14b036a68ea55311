//! What a reader shows of itself to the rest of the process: its positions, whether it waits, and who is to wake it.
//!
//! Must stay true: a position moves only by what was returned or assigned; whoever looks from outside never moves one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use loa_contract::topics::TopicSpec;
use tokio::sync::Notify;

use crate::asker::Asker;
use crate::config::KafkaConfig;

/// What all readers of a log share.
pub(crate) struct Readers {
    pub(crate) config: Arc<KafkaConfig>,
    pub(crate) asker: Arc<Asker>,
    closed: AtomicBool,
    live: Mutex<Vec<Weak<Track>>>,
}

impl Readers {
    pub(crate) fn new(config: Arc<KafkaConfig>, asker: Arc<Asker>) -> Arc<Self> {
        Arc::new(Self { config, asker, closed: AtomicBool::new(false), live: Mutex::default() })
    }

    /// Notes a new reader.
    pub(crate) fn begin(&self, topic: &'static TopicSpec) -> Arc<Track> {
        let positions = vec![None; index(topic.partitions)];
        let track =
            Arc::new(Track { topic, state: Mutex::new(State { positions, ..State::default() }), wake: Notify::new() });
        let mut live = self.live();
        live.retain(|track| track.strong_count() > 0);
        live.push(Arc::downgrade(&track));
        track
    }

    /// The readers there are.
    pub(crate) fn tracks(&self) -> Vec<Arc<Track>> {
        self.live().iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends every reader.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for track in self.tracks() {
            track.wake.notify_one();
        }
    }

    fn live(&self) -> MutexGuard<'_, Vec<Weak<Track>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader as others see it.
pub(crate) struct Track {
    pub(crate) topic: &'static TopicSpec,
    state: Mutex<State>,
    /// Wakes the reader to look at its state again.
    pub(crate) wake: Notify,
}

/// A partition, where a reader stands in it, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) partition: u32,
    pub(crate) position: i64,
    pub(crate) end: i64,
}

#[derive(Default)]
struct State {
    /// By partition: the next offset to return; `None` = not read.
    positions: Vec<Option<i64>>,
    /// Whether the reader has nothing to return and waits.
    waits: bool,
    /// Where it was behind when it was looked at last.
    behind: Vec<Behind>,
    /// Set when its client was found silent: the ends that a new client must reach.
    silent: Option<Vec<Behind>>,
}

impl Track {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn position(&self, partition: u32) -> Option<i64> {
        self.state().positions.get(index(partition)).copied().flatten()
    }

    /// Where the reader stands, of all partitions that it reads.
    pub(crate) fn positions(&self) -> Vec<(u32, i64)> {
        let state = self.state();
        (0..self.topic.partitions).zip(&state.positions).filter_map(|(p, at)| at.map(|at| (p, at))).collect()
    }

    /// Moves a position; false if the topic has no such partition.
    pub(crate) fn set(&self, partition: u32, position: Option<i64>) -> bool {
        let mut state = self.state();
        let place = state.positions.get_mut(index(partition));
        place.map(|place| *place = position).is_some()
    }

    /// Moves a position over a record; false if the record is not the reader's, or was returned.
    pub(crate) fn pass(&self, partition: u32, offset: i64) -> bool {
        let mut state = self.state();
        match state.positions.get_mut(index(partition)) {
            Some(Some(next)) if offset >= *next => {
                *next = offset + 1;
                true
            }
            _ => false,
        }
    }

    /// The reader waits until this is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.state().waits = true;
        Waiting(self)
    }

    /// Where a waiting reader stands.
    pub(crate) fn waiting_at(&self) -> Option<Vec<(u32, i64)>> {
        let waits = self.state().waits;
        waits.then(|| self.positions())
    }

    /// Takes what was found of a waiting reader; says whether it is silent, and then wakes it.
    pub(crate) fn look(&self, behind: Vec<Behind>) -> bool {
        let mut state = self.state();
        let silent = state.waits && is_silent(&state.behind, &behind);
        if silent {
            state.silent = Some(behind);
            state.behind.clear();
            self.wake.notify_one();
        } else {
            state.behind = behind;
        }
        silent
    }

    /// Whether the client was found silent since this was asked last.
    pub(crate) fn take_silent(&self) -> Option<Vec<Behind>> {
        self.state().silent.take()
    }
}

/// A reader is silent that stands where it stood, while the end known at the last look was ahead of it already.
fn is_silent(before: &[Behind], now: &[Behind]) -> bool {
    now.iter()
        .any(|now| before.iter().any(|before| (before.partition, before.position) == (now.partition, now.position)))
}

/// See [`Track::wait`].
pub(crate) struct Waiting<'a>(&'a Track);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waits = false;
    }
}

/// A partition as a place in a list.
pub(crate) fn index(partition: u32) -> usize {
    usize::try_from(partition).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::topics::{BlocksTopic, Topic as _};

    fn at(partition: u32, position: i64, end: i64) -> Behind {
        Behind { partition, position, end }
    }

    #[test]
    fn silent_is_who_stands_still_below_an_end() {
        for (before, now, expected) in [
            (vec![], vec![at(0, 5, 6)], false),
            (vec![at(0, 5, 6)], vec![at(0, 5, 9)], true),
            (vec![at(0, 5, 6)], vec![at(0, 6, 9)], false),
            (vec![at(0, 5, 6)], vec![at(1, 5, 6)], false),
            (vec![at(0, 5, 6), at(1, 7, 8)], vec![at(1, 7, 8)], true),
            (vec![at(0, 5, 6)], vec![], false),
        ] {
            assert_eq!(is_silent(&before, &now), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn only_a_waiting_reader_is_silent() {
        let track = Track {
            topic: BlocksTopic::SPEC,
            state: Mutex::new(State { positions: vec![None], ..State::default() }),
            wake: Notify::new(),
        };
        assert!(track.set(0, Some(5)) && !track.set(1, Some(5)));
        assert!(!track.look(vec![at(0, 5, 6)]));
        assert!(!track.look(vec![at(0, 5, 6)]), "nobody asks it for records");
        let waiting = track.wait();
        assert_eq!(track.waiting_at(), Some(vec![(0, 5)]));
        assert!(track.look(vec![at(0, 5, 6)]));
        assert_eq!(track.take_silent(), Some(vec![at(0, 5, 6)]));
        drop(waiting);
        assert_eq!((track.waiting_at(), track.take_silent()), (None, None));
    }

    #[test]
    fn a_record_is_passed_once() {
        let track = Track {
            topic: BlocksTopic::SPEC,
            state: Mutex::new(State { positions: vec![None], ..State::default() }),
            wake: Notify::new(),
        };
        assert!(!track.pass(0, 3), "nobody reads it");
        track.set(0, Some(3));
        assert!(!track.pass(0, 2) && track.pass(0, 3) && !track.pass(0, 3) && track.pass(0, 7));
        assert_eq!(track.position(0), Some(8));
    }
}
