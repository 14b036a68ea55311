//! Finds readers whose connection fell silent: their partition has more, they wait, and nothing comes.
//!
//! After a restart of a broker the client library may wait for ever on a partition without saying so. One question to each
//! broker for all readers of the process tells.
//!
//! Must stay true: a reader is disturbed only if it waited at two looks at the same position below an end of the first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::track::{Behind, Readers};

/// Between two looks: a silent reader goes on after one to two of these.
pub const LOOK_EVERY: Duration = Duration::from_secs(4);

/// Looks until it is aborted.
pub(crate) async fn watch(readers: Arc<Readers>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        look(&readers).await;
    }
}

/// Looks once.
pub(crate) async fn look(readers: &Readers) {
    let waiting: Vec<_> = readers.tracks().into_iter().filter_map(|track| Some((track.waiting_at()?, track))).collect();
    let mut ends = BTreeMap::new();
    for (positions, track) in &waiting {
        for &(partition, _) in positions {
            ends.insert((track.topic.name, partition), (track.topic, 0));
        }
    }
    let of = ends.iter().map(|(&(_, partition), &(topic, _))| (topic, partition)).collect();
    match readers.asker.ends(of).await {
        Ok(told) => ends.values_mut().zip(told).for_each(|((_, end), told)| *end = told),
        // While the log is away nobody is silent: there is nobody to speak.
        Err(error) => return tracing::debug!(%error, "the readers could not be looked at"),
    }
    for (positions, track) in waiting {
        let behind = positions.into_iter().filter_map(|(partition, position)| {
            let &(_, end) = ends.get(&(track.topic.name, partition))?;
            (position < end).then_some(Behind { partition, position, end })
        });
        track.look(behind.collect());
    }
}
