//! What is in flight in this process, and how far each partition is finished.
//!
//! A record is finished when each of its slices was settled or returned and that was published. The watermark of a
//! partition is the offset up to which all records are finished; who takes the partition over reads on from there.
//!
//! Must stay true: a watermark never passes an unfinished record; marks and the watermarks that rest on them are taken
//! together.

use std::collections::HashMap;

use loa_domain::ids::SliceKey;
use loa_ports::store::claims::Mark;

use crate::progress::Progress;

/// A partition of a lane topic: the lane's place among the topics, and the partition.
pub(crate) type Place = (usize, u32);

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiter {
    place: Place,
    /// The time that this process gained the partition; what an earlier holding waits for counts no more.
    holding: u64,
    offset: i64,
}

#[derive(Debug, Default)]
struct Slice {
    waiters: Vec<Waiter>,
    published: bool,
}

/// Slices and partitions of this process.
#[derive(Debug, Default)]
pub(crate) struct Live {
    slices: HashMap<SliceKey, Slice>,
    partitions: HashMap<Place, (u64, Progress)>,
    holdings: u64,
    marks: Vec<Mark>,
    forgettable: Vec<SliceKey>,
}

/// What to store: marks, and the watermarks that rest on them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ToStore {
    /// Claims to mark settled.
    pub marks: Vec<Mark>,
    /// Watermarks that rose.
    pub watermarks: Vec<(Place, i64)>,
    /// Slices that are no longer in flight once this is stored.
    pub slices: Vec<SliceKey>,
}

impl ToStore {
    /// Whether there is nothing to store.
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.watermarks.is_empty() && self.slices.is_empty()
    }
}

impl Live {
    /// The partition is read from this offset on.
    pub(crate) fn gain(&mut self, place: Place, from: i64) {
        self.holdings += 1;
        self.partitions.insert(place, (self.holdings, Progress::from(from)));
    }

    /// The partition is somebody else's.
    pub(crate) fn lose(&mut self, place: Place) {
        self.partitions.remove(&place);
    }

    /// A record was read: which of its slices are new to this process. The others are in flight, and the record waits for
    /// them too.
    pub(crate) fn read(&mut self, place: Place, offset: i64, slices: impl Iterator<Item = SliceKey>) -> Vec<SliceKey> {
        let Some((holding, progress)) = self.partitions.get_mut(&place) else { return Vec::new() };
        let waiter = Waiter { place, holding: *holding, offset };
        // A record that comes a second time is answered, and waits for nothing: it is counted where it came first.
        let repeated = progress.has_read(offset);
        let (mut new, mut left) = (Vec::new(), 0);
        for key in slices {
            let slice = self.slices.entry(key).or_insert_with(|| {
                new.push(key);
                Slice::default()
            });
            // Published a moment ago and only its mark is missing: nothing to wait for.
            if !slice.published && !repeated {
                slice.waiters.push(waiter);
                left += 1;
            }
        }
        if !repeated {
            progress.read(offset, left);
        }
        new
    }

    /// The slice's settlement was published; its claim is to be marked if it is ours.
    pub(crate) fn published(&mut self, key: SliceKey, mark: Option<Mark>) {
        if let Some(slice) = self.slices.get_mut(&key) {
            slice.published = true;
            for waiter in std::mem::take(&mut slice.waiters) {
                let held = self.partitions.get_mut(&waiter.place);
                if let Some((_, progress)) = held.filter(|(holding, _)| *holding == waiter.holding) {
                    progress.finish_one(waiter.offset);
                }
            }
        }
        self.marks.extend(mark);
        self.forgettable.push(key);
    }

    /// The slice was not claimed and is not ours to decide any more.
    pub(crate) fn drop_unclaimed(&mut self, key: &SliceKey) {
        self.slices.remove(key);
    }

    /// What is to be stored now.
    pub(crate) fn take_to_store(&mut self) -> ToStore {
        let risen = |(place, (_, progress)): (&Place, &mut (u64, Progress))| Some((*place, progress.take_risen()?));
        let watermarks = self.partitions.iter_mut().filter_map(risen).collect();
        ToStore { marks: std::mem::take(&mut self.marks), watermarks, slices: std::mem::take(&mut self.forgettable) }
    }

    /// It is stored.
    pub(crate) fn stored(&mut self, slices: &[SliceKey]) {
        for key in slices {
            // Read again meanwhile, after its publication: that is a new matter.
            if self.slices.get(key).is_some_and(|slice| slice.published) {
                self.slices.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    mod recovery;

    use super::*;
    use loa_domain::ids::{ChunkKey, FreezeId, ReleaseKey};
    use proptest::prelude::*;
    use uuid::Uuid;

    const AT: Place = (0, 3);

    fn slice(chunk: u32, slice: u16) -> SliceKey {
        let chunk = ChunkKey { freeze: FreezeId(Uuid::nil()), variant: 0, chunk };
        SliceKey { release: ReleaseKey { chunk, release_no: 1 }, slice }
    }

    fn watermark(live: &mut Live) -> Option<i64> {
        live.take_to_store().watermarks.first().map(|(_, offset)| *offset)
    }

    #[test]
    fn the_watermark_waits_for_the_oldest() {
        let mut live = Live::default();
        live.gain(AT, 10);
        assert_eq!(live.read(AT, 10, [slice(1, 0), slice(1, 1)].into_iter()).len(), 2);
        assert_eq!(live.read(AT, 12, [slice(2, 0)].into_iter()).len(), 1);
        live.published(slice(2, 0), None);
        live.published(slice(1, 0), None);
        assert_eq!(watermark(&mut live), None);
        live.published(slice(1, 1), None);
        assert_eq!(watermark(&mut live), Some(13));
        assert_eq!(watermark(&mut live), None, "nothing has changed since");
    }

    #[test]
    fn a_repeat_of_what_is_in_flight_waits_with_it() {
        let mut live = Live::default();
        live.gain(AT, 0);
        live.read(AT, 0, [slice(1, 0)].into_iter());
        assert!(live.read(AT, 1, [slice(1, 0)].into_iter()).is_empty(), "in flight here: nothing");
        live.published(slice(1, 0), None);
        assert_eq!(watermark(&mut live), Some(2));
        assert!(live.read(AT, 2, [slice(1, 0)].into_iter()).is_empty(), "its mark is not stored yet");
        let to_store = live.take_to_store();
        assert_eq!(to_store.watermarks, [(AT, 3)]);
        live.stored(&[slice(1, 0)]);
        assert_eq!(live.read(AT, 3, [slice(1, 0)].into_iter()), [slice(1, 0)], "asked of the claims again");
    }

    #[test]
    fn a_record_that_comes_twice_is_counted_once() {
        let mut live = Live::default();
        live.gain(AT, 5);
        live.read(AT, 5, [slice(1, 0), slice(1, 1)].into_iter());
        assert!(live.read(AT, 5, [slice(1, 0), slice(1, 1)].into_iter()).is_empty());
        live.published(slice(1, 0), None);
        assert_eq!(watermark(&mut live), None, "the other slice is still open");
        live.published(slice(1, 1), None);
        let to_store = live.take_to_store();
        assert_eq!(to_store.watermarks, [(AT, 6)]);
        live.stored(&[slice(1, 0), slice(1, 1)]);
        assert_eq!(live.read(AT, 5, [slice(1, 0)].into_iter()), [slice(1, 0)], "answered from its claim");
        live.published(slice(1, 0), None);
        assert_eq!(watermark(&mut live), None, "a watermark never goes back");
    }

    #[test]
    fn a_lost_partition_counts_no_more() {
        let mut live = Live::default();
        live.gain(AT, 0);
        live.read(AT, 0, [slice(1, 0)].into_iter());
        live.lose(AT);
        live.gain(AT, 0);
        live.read(AT, 0, [slice(1, 0), slice(1, 1)].into_iter());
        live.published(slice(1, 0), None);
        assert_eq!(watermark(&mut live), None);
        live.published(slice(1, 1), None);
        assert_eq!(watermark(&mut live), Some(1));
        live.lose(AT);
        assert!(live.read(AT, 5, [slice(9, 9)].into_iter()).is_empty(), "read for nobody");
    }

    #[test]
    fn a_record_without_slices_is_finished() {
        let mut live = Live::default();
        live.gain(AT, 4);
        live.read(AT, 4, std::iter::empty());
        assert_eq!(watermark(&mut live), Some(5));
    }

    proptest! {
        /// In whatever order slices are published, the watermark stands at the first record with an open slice.
        #[test]
        fn never_passes_an_open_record(counts in proptest::collection::vec(0..4_u16, 1..12), order in any::<u64>()) {
            let mut live = Live::default();
            live.gain(AT, 0);
            let mut open = Vec::new();
            for (chunk, &count) in counts.iter().enumerate() {
                let chunk = u32::try_from(chunk).unwrap();
                live.read(AT, chunk.into(), (0..count).map(|at| slice(chunk, at)));
                open.extend((0..count).map(|at| slice(chunk, at)));
            }
            let mut seed = order;
            let mut stored = live.take_to_store().watermarks.first().map_or(0, |(_, at)| *at);
            while !open.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let key = open.swap_remove(usize::try_from(seed >> 33).unwrap() % open.len());
                live.published(key, None);
                stored = live.take_to_store().watermarks.first().map_or(stored, |(_, at)| *at);
                let first = open.iter().map(|key| i64::from(key.release.chunk.chunk)).min();
                let end = i64::try_from(counts.len()).unwrap();
                let next = (0..end).find(|at| Some(*at) == first).unwrap_or(end);
                prop_assert_eq!(stored, next);
            }
        }
    }
}
