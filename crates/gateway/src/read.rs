//! Readers of the lane topics: one per account and lane, so that a full queue holds up nobody else.
//!
//! Must stay true: a partition is read from its stored watermark; a record that cannot be read stops its partition and is
//! never skipped.

use std::sync::Arc;
use std::time::Duration;

use loa_contract::convert::BadRecord;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{TopicSpec, releases};
use loa_ports::log::{LogError, Position, Reader, Record};
use loa_ports::store::StoreError;
use loa_runtime::record;
use tokio::sync::mpsc;

use crate::engine::{Engine, Medium, lane_at};
use crate::offer::Offer;
use crate::publish::WATERMARKS;
use crate::queue::{LANES, Pending};

/// Messages of an account and lane that wait in memory for their claim, at most; beyond it the lane is not read.
const BACKLOG_MESSAGES_MAX: usize = 100_000;
/// Records taken at once.
const READ_MAX: usize = 32;
/// Waits after a log that did not answer.
const AWAY_WAIT: Duration = Duration::from_millis(200);

/// A partition comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Read it from its watermark on.
    Gain(u32),
    /// It is somebody else's.
    Lose(u32),
}

/// The turns of one lane's reader: as many as there are partitions can wait.
pub(crate) const TURNS_MAX: usize = 256;

struct Lane<M: Medium> {
    engine: Arc<Engine<M>>,
    account: usize,
    lane: usize,
    topic: &'static TopicSpec,
    reader: Box<dyn Reader>,
}

/// Reads a lane of an account until the engine is over.
pub(crate) async fn read_lane<M: Medium>(
    engine: Arc<Engine<M>>,
    account: usize,
    lane: usize,
    mut turns: mpsc::Receiver<Turn>,
) {
    let Some(topic) = lane_at(lane).map(|lane| releases(M::CHANNEL, lane)) else { return };
    let reader = tokio::select! {
        () = engine.over() => return,
        reader = open(&engine, topic) => reader,
    };
    let mut at_work = Lane { engine: Arc::clone(&engine), account, lane, topic, reader };
    loop {
        let room = engine.accounts[account].queue().backlog(lane) < BACKLOG_MESSAGES_MAX;
        let drained = engine.accounts[account].drained.notified();
        tokio::select! {
            () = engine.over() => return,
            turn = turns.recv() => match turn {
                Some(turn) => at_work.turn(turn).await,
                None => return,
            },
            records = at_work.reader.next(READ_MAX), if room => at_work.take(records).await,
            () = drained, if !room => {}
        }
    }
}

async fn open<M: Medium>(engine: &Engine<M>, topic: &'static TopicSpec) -> Box<dyn Reader> {
    loop {
        match engine.log.reader(topic, Vec::new()).await {
            Ok(reader) => return reader,
            Err(error) => tracing::warn!(topic = topic.name, %error, "the lane cannot be read yet"),
        }
        tokio::time::sleep(AWAY_WAIT).await;
    }
}

impl<M: Medium> Lane<M> {
    async fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Gain(partition) => {
                let engine = Arc::clone(&self.engine);
                tokio::select! {
                    () = engine.over() => {}
                    from = engine.watermark(self.topic, partition) => {
                        engine.live(|live| live.gain((self.lane, partition), from));
                        self.reader.assign(Position { partition, offset: from });
                    }
                }
            }
            Turn::Lose(partition) => {
                self.reader.unassign(partition);
                let place = (self.lane, partition);
                let dropped = self.engine.accounts[self.account].queue().drop_place(place);
                self.engine.live(|live| {
                    live.lose(place);
                    dropped.iter().for_each(|pending| live.drop_unclaimed(&pending.offer.slice(pending.slice)));
                });
            }
        }
    }

    async fn take(&mut self, records: Result<Vec<Record>, LogError>) {
        match records {
            Ok(records) => {
                for record in records {
                    if let Err(error) = self.take_record(&record) {
                        tracing::error!(
                            code = "LOA-201", topic = self.topic.name, partition = record.partition,
                            offset = record.offset, %error, "a release cannot be read; its partition stops here"
                        );
                        self.reader.unassign(record.partition);
                        self.engine.live(|live| live.lose((self.lane, record.partition)));
                    }
                }
                self.engine.claim_wake.notify_one();
            }
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                // What was lost is published again by dispatch, whose rows know that it was never settled.
                tracing::error!(code = "LOA-202", topic = self.topic.name, partition, start, wanted, "log gap");
                self.engine.live(|live| live.gain((self.lane, partition), start));
                self.reader.assign(Position { partition, offset: start });
            }
            Err(error) => {
                tracing::warn!(topic = self.topic.name, %error, "the lane cannot be read for now");
                tokio::time::sleep(AWAY_WAIT).await;
            }
        }
    }

    fn take_record(&self, record: &Record) -> Result<(), BadRecord> {
        let mut offer = Offer::parse(M::CHANNEL, record::decode::<event::Release>(record)?)?;
        let trace = record.headers.iter().find(|(name, _)| name == record::TRACEPARENT);
        if let Some(traceparent) = trace.and_then(|(_, value)| std::str::from_utf8(value).ok()) {
            offer.follow(traceparent);
        }
        let offer = Arc::new(offer);
        let place = (self.lane, record.partition);
        let keys = (0..offer.slices()).map(|slice| offer.slice(slice));
        let new = self.engine.live(|live| live.read(place, record.offset, keys));
        if new.is_empty() {
            self.engine.store_wake.notify_one(); // the watermark may have passed it at once
        }
        let mut queue = self.engine.accounts[self.account].queue();
        for key in new {
            queue.offer(Pending { offer: Arc::clone(&offer), slice: key.slice, place });
        }
        Ok(())
    }
}

impl<M: Medium> Engine<M> {
    /// The stored watermark, or the log's start if there is none.
    async fn watermark(&self, topic: &'static TopicSpec, partition: u32) -> i64 {
        loop {
            match self.stored_watermark(topic, partition).await {
                Ok(Some(offset)) => return offset,
                Ok(None) => match self.log.starts(topic).await {
                    Ok(starts) => return starts.get(partition as usize).copied().unwrap_or(0),
                    Err(error) => tracing::warn!(topic = topic.name, partition, %error, "no start yet"),
                },
                Err(error) => tracing::warn!(topic = topic.name, partition, %error, "no watermark yet"),
            }
            tokio::time::sleep(AWAY_WAIT).await;
        }
    }

    async fn stored_watermark(&self, topic: &TopicSpec, partition: u32) -> Result<Option<i64>, StoreError> {
        let watermarks = self.claims.watermarks(WATERMARKS).await?;
        let here = watermarks.into_iter().find(|mark| mark.topic == topic.name && mark.partition == partition);
        Ok(here.map(|mark| mark.next))
    }

    /// Starts the engine's tasks; the turns are for the readers of each account and lane.
    pub(crate) fn start(self: &Arc<Self>) -> Vec<[mpsc::Sender<Turn>; LANES]> {
        self.ctx.spawn("claims", Arc::clone(self).claim_loop());
        self.ctx.spawn("settlements", Arc::clone(self).publish_loop());
        self.ctx.spawn("marks", Arc::clone(self).store_loop());
        self.ctx.spawn("forget claims", Arc::clone(self).forget_loop());
        let reader = |account: usize, lane: usize| {
            let (send, turns) = mpsc::channel(TURNS_MAX);
            self.ctx.spawn("releases", read_lane(Arc::clone(self), account, lane, turns));
            send
        };
        (0..self.accounts.len()).map(|account| [0, 1, 2].map(|lane| reader(account, lane))).collect()
    }
}
