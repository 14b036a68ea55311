//! Everything is killed, frozen and restarted under load: Loa's processes and the servers they stand on. Then nobody got
//! anything twice, nobody is lost, and what is in doubt is only what was claimed and not settled at a kill or a freeze.
//!
//! Must stay true: the dice decide what happens to whom and when; claims are read from the store before others could settle
//! them; whoever stands still is followed within [`TAKE_OVER_MAX`]; nothing is helped, it goes on by itself.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use loa_domain::ids::SliceKey;
use loa_harness::claims::unsettled;
use loa_harness::kills::{in_doubt_within, over};
use loa_harness::leases::Owners;
use loa_harness::process::Process;
use loa_harness::wait::until;
use loa_harness::{Fault, Plan, Site, SiteOptions, fault, say};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_testkit::dice::Dice;

use crate::parts::Parts;

/// The promise: so long after a process died or froze, others have all that was its.
const TAKE_OVER_MAX: Duration = Duration::from_secs(6);
/// How long a process is frozen.
const FROZEN: Duration = Duration::from_secs(30);

/// What happens in a run.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// Recipients of each channel.
    pub people: u64,
    /// Messages a second of each channel, so that the run outlasts what is done to it.
    pub rate: u32,
    /// How often something is killed, and started again.
    pub kills: usize,
    /// Whether each process of Loa is frozen once for 30 s.
    pub freezes: bool,
    /// Whether everything is stopped in good order and started again once, one after the other.
    pub rolls: bool,
}

/// Whom something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Loa(usize),
    Broker(usize),
    Postgres,
    Redis,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// kill -9, and started again at once.
    Kill(Who),
    /// kill -9, and started again when others have taken over.
    Bury(usize),
    Freeze(usize),
    Restart(Who),
}

/// What was seen on the way.
#[derive(Debug, Default)]
struct Seen {
    in_the_air: BTreeSet<SliceKey>,
    take_overs: Vec<Duration>,
}

impl Soak {
    /// Runs it at a site of these parts.
    pub async fn run(self, mut parts: Parts, options: SiteOptions, dice: &mut Dice) -> Result<(), Fault> {
        let mut site = options.rate(self.rate).start().await?;
        site.people(self.people).await?;
        let id = site.running(&Plan::default()).await?;
        let mut seen = Seen::default();
        let acts = self.acts(site.cluster()?.processes().len(), parts.kafka.nodes(), dice);
        let count = acts.len();
        for (number, (act, place)) in (1..).zip(acts) {
            site.accepted(place).await?;
            let (texts, mails) = site.sinks().accepted()?;
            if texts + mails >= 2 * self.people {
                return Err(fault(format!("over before act {number} of {count}: a run for this machine is slower")));
            }
            let clock = SystemClock::new();
            seen.act(act, &mut site, &mut parts).await.map_err(|error| fault(format!("{act}: {error}")))?;
            say(format!("{number}/{count} at {}: {act}, {:.1?}", texts + mails, clock.monotonic()));
            let ended = site.cluster()?.ended()?;
            if !ended.is_empty() {
                return Err(fault(format!("{ended:?} ended by themselves after: {act}")));
            }
        }
        for one in &over(&site, &id).await?.variants {
            say(format!(
                "frozen {} delivered {} undelivered {} in doubt {} repeated {}",
                one.frozen, one.delivered, one.undelivered, one.in_doubt, one.repeated
            ));
        }
        seen.told();
        in_doubt_within(&mut site, seen.in_the_air).await?;
        site.start_stopped().await?;
        site.finish().await.map(drop)
    }

    /// What happens, and at how many accepted messages it may begin.
    fn acts(self, processes: usize, brokers: usize, dice: &mut Dice) -> Vec<(Act, u64)> {
        let loa = (0..processes).map(Who::Loa);
        let everything: Vec<Who> =
            loa.chain((0..brokers).map(Who::Broker)).chain([Who::Postgres, Who::Redis]).collect();
        // Nobody is killed for the second time before everybody was.
        let mut acts = Vec::new();
        while acts.len() < self.kills {
            let round = shuffled(everything.clone(), dice).into_iter().take(self.kills - acts.len());
            acts.extend(round.map(|who| match who {
                Who::Loa(one) if dice.below(2) == 0 => Act::Bury(one),
                who => Act::Kill(who),
            }));
        }
        if self.freezes {
            acts.extend((0..processes).map(Act::Freeze));
        }
        let mut acts = shuffled(acts, dice);
        if self.rolls {
            let half = acts.len() / 2;
            drop(acts.splice(half..half, everything.into_iter().map(Act::Restart)));
        }
        let mut places: Vec<u64> = acts.iter().map(|_| self.people / 20 + dice.below(self.people * 3 / 2)).collect();
        places.sort_unstable();
        acts.into_iter().zip(places).collect()
    }
}

impl Seen {
    async fn act(&mut self, act: Act, site: &mut Site, parts: &mut Parts) -> Result<(), Fault> {
        match act {
            Act::Kill(Who::Loa(one)) => {
                let process = process(site, one)?;
                process.kill().await?;
                self.in_the_air.extend(unsettled(&process.config()?).await?);
                site.cluster()?.start_one(one).await
            }
            Act::Bury(one) => {
                let owners = holder(process(site, one)?).await?;
                process(site, one)?.kill().await?;
                self.taken_over(&owners, process(site, one)?).await?;
                owners.close().await;
                site.cluster()?.start_one(one).await
            }
            Act::Freeze(one) => {
                let owners = holder(process(site, one)?).await?;
                process(site, one)?.freeze()?;
                let clock = SystemClock::new();
                self.taken_over(&owners, process(site, one)?).await?;
                owners.close().await;
                until("it was frozen for long enough", 2 * FROZEN, async || clock.monotonic() >= FROZEN).await?;
                process(site, one)?.thaw()
            }
            Act::Kill(Who::Broker(one)) => {
                parts.kafka.kill(one)?;
                parts.kafka.start_again(one).await
            }
            Act::Kill(Who::Postgres) => {
                parts.postgres.kill()?;
                parts.postgres.start_again().await?;
                // Who could not beat may have lost what it held.
                self.in_the_air.extend(unsettled(&process(site, 0)?.config()?).await?);
                Ok(())
            }
            Act::Kill(Who::Redis) => {
                parts.redis.kill()?;
                parts.redis.start_again().await
            }
            Act::Restart(Who::Loa(one)) => {
                let ended = process(site, one)?.stop().await?;
                if !ended.success() {
                    return Err(fault(format!("a stop settles what is in flight, and loa ended with {ended}")));
                }
                site.cluster()?.start_one(one).await
            }
            Act::Restart(Who::Broker(one)) => {
                parts.kafka.stop(one).await?;
                parts.kafka.start_again(one).await
            }
            Act::Restart(Who::Postgres) => {
                parts.postgres.stop().await?;
                parts.postgres.start_again().await?;
                self.in_the_air.extend(unsettled(&process(site, 0)?.config()?).await?);
                Ok(())
            }
            Act::Restart(Who::Redis) => {
                parts.redis.stop().await?;
                parts.redis.start_again().await
            }
        }
    }

    /// A process has just ceased to move: what it has begun is noted, and others must have taken over in time.
    async fn taken_over(&mut self, owners: &Owners, process: &Process) -> Result<(), Fault> {
        let looking = async {
            self.in_the_air.extend(unsettled(&process.config()?).await?);
            Ok::<_, Fault>(())
        };
        let ((), took) = tokio::try_join!(looking, owners.taken_from(process.node()))?;
        self.take_overs.push(took);
        if took > TAKE_OVER_MAX { Err(fault(format!("taken over only after {took:?}"))) } else { Ok(()) }
    }

    fn told(&self) {
        let (longest, count) = (self.take_overs.iter().max().copied().unwrap_or_default(), self.take_overs.len());
        say(format!("{count} take-overs, the longest took {longest:.1?}"));
    }
}

fn process(site: &mut Site, one: usize) -> Result<&mut Process, Fault> {
    site.cluster()?.processes().get_mut(one).ok_or_else(|| fault("there are fewer processes"))
}

/// The stores of a process that holds something, if only just.
async fn holder(process: &Process) -> Result<Owners, Fault> {
    let owners = Owners::of(&process.config()?).await?;
    owners.wait_for(process.node()).await?;
    Ok(owners)
}

fn shuffled<T>(mut all: Vec<T>, dice: &mut Dice) -> Vec<T> {
    for at in (1..all.len()).rev() {
        let other = usize::try_from(dice.below(at as u64 + 1)).unwrap_or(at);
        all.swap(at, other);
    }
    all
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loa(one) => write!(f, "process {one} of Loa"),
            Self::Broker(one) => write!(f, "broker {one}"),
            Self::Postgres => f.write_str("PostgreSQL"),
            Self::Redis => f.write_str("Redis"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(who) => write!(f, "{who} killed"),
            Self::Bury(one) => write!(f, "{} killed, and dead until others had taken over", Who::Loa(*one)),
            Self::Freeze(one) => write!(f, "{} frozen", Who::Loa(*one)),
            Self::Restart(who) => write!(f, "{who} restarted in good order"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_and_everybody_has_a_turn() {
        let soak = Soak { people: 1_000, rate: 1, kills: 40, freezes: true, rolls: true };
        let acts = |seed| soak.acts(6, 3, &mut Dice::new(seed, 0));
        assert_eq!(acts(1), acts(1));
        assert_ne!(acts(1), acts(2));
        let acts = acts(3);
        let count = |wanted: fn(&Act) -> bool| acts.iter().filter(|(act, _)| wanted(act)).count();
        assert_eq!(count(|act| matches!(act, Act::Kill(_) | Act::Bury(_))), 40);
        assert_eq!(count(|act| matches!(act, Act::Freeze(_))), 6);
        assert_eq!(count(|act| matches!(act, Act::Restart(_))), 11);
        for one in 0..3 {
            assert!(acts.iter().filter(|(act, _)| *act == Act::Kill(Who::Broker(one))).count() >= 3, "each its turn");
        }
        assert!(acts.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    }
}
