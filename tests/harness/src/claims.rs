//! What the stores and the log of a Loa say, read while it is dead: claims begun and not settled, releases.
//!
//! Must stay true: these are read through the ports, from the files or servers as the crash left them, never asked of a
//! process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use loa::compose::{OwnLog, open_store};
use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{TopicSpec, releases};
use loa_domain::channel::{Channel, Lane};
use loa_domain::ids::{MessageId, ReleaseKey, SliceKey};
use loa_domain::mask::Mask;
use loa_ports::clock::SystemClock;
use loa_ports::log::{Log, Position, Record};
use loa_ports::store::claims::Claims as _;
use loa_runtime::Role;
use loa_runtime::config::Config;
use loa_store::SqlClaims;
use prost::Message as _;

use crate::{Fault, fault};

/// Claims read from one store, at most.
const CLAIMS_MAX: u32 = 1_000_000;
/// Records of one read.
const READ_MAX: usize = 1_000;

/// Slices whose claim is begun and not marked settled, of both channels.
pub async fn unsettled(config: &Config) -> Result<BTreeSet<SliceKey>, Fault> {
    let mut found = BTreeSet::new();
    for role in [Role::Sms, Role::Email] {
        let db = open_store(config, role).await?;
        found.extend(SqlClaims::new(db.clone()).unsettled(CLAIMS_MAX).await?);
        db.close().await;
    }
    Ok(found)
}

/// Recipients and slice length of a release.
struct Released {
    mask: Mask,
    slice_length: usize,
}

/// Every release of the log.
pub struct Releases(BTreeMap<ReleaseKey, Released>);

impl Releases {
    /// Reads the log of a Loa that does not run.
    pub async fn read(config: &Config) -> Result<Self, Fault> {
        let own = OwnLog::open(config, Arc::new(SystemClock::new())).await?;
        let log = own.port();
        let mut known = BTreeMap::new();
        for (channel, lane) in Channel::ALL.iter().flat_map(|channel| Lane::ALL.iter().map(move |lane| (channel, lane)))
        {
            for record in records(log.as_ref(), releases(*channel, *lane)).await? {
                let release = event::Release::decode(record.value)?;
                let released = Released {
                    mask: convert::mask(&release.mask)?,
                    slice_length: usize::try_from(release.slice_length)?,
                };
                known.insert(convert::release_key(&release)?, released);
            }
        }
        own.close().await;
        Ok(Self(known))
    }

    /// How many releases there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many slices they have.
    pub fn slices(&self) -> usize {
        self.0.values().map(|released| released.mask.runs(released.slice_length)).sum()
    }

    /// The messages of a slice.
    pub fn messages(&self, slice: SliceKey) -> Result<Vec<MessageId>, Fault> {
        let released =
            self.0.get(&slice.release).ok_or_else(|| fault(format!("no record of release {:?}", slice.release)))?;
        let run = released.mask.run(usize::from(slice.slice), released.slice_length);
        Ok(run.iter().map(|index| MessageId { chunk: slice.release.chunk, index }).collect())
    }
}

/// Every record of a topic, from start to end.
pub async fn records(log: &dyn Log, topic: &'static TopicSpec) -> Result<Vec<Record>, Fault> {
    let (starts, ends) = (log.starts(topic).await?, log.ends(topic).await?);
    let position = |(partition, &offset)| Position { partition, offset };
    let mut reader = log.reader(topic, (0..).zip(&starts).map(position).collect()).await?;
    let mut all = Vec::new();
    let at_end = |reader: &dyn loa_ports::log::Reader| {
        (0..).zip(&ends).all(|(partition, &end)| reader.position(partition).unwrap_or(0) >= end)
    };
    while !at_end(reader.as_ref()) {
        all.extend(reader.next(READ_MAX).await?);
    }
    Ok(all)
}
