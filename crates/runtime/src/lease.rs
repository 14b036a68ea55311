//! The keeper of leases: beats, looks, takes what is free or whose owner fell silent, and says what was gained or lost.
//!
//! A node takes its fair share of what there is (all numbers ÷ living nodes, rounded up), and hands over what it has beyond
//! it when a node joins, a few at each look. Who sees another's beat unchanged for 4 s on its own monotonic clock takes over.
//!
//! Must stay true: holding a lease here is only permission to try; what decides is the fence in each transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_domain::limits::LEASE_SILENCE_MS;
use loa_ports::lease::{Held, LeaseRow, Leases, NodeRow};
use loa_ports::store::StoreError;
use tokio::sync::Notify;

use crate::ctx::Ctx;

const BEAT_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where this node holds all there is, it looks this often only: what decides is the fence in each transaction.
const LOOKS_SKIPPED: u32 = 7;
const SILENCE: Duration = Duration::from_millis(LEASE_SILENCE_MS);
/// Leases of one kind that are handed over at one look, at most: what moves stands still for a moment.
const HANDED_OVER_MAX: usize = 4;
/// Own leases are given up when the store has not taken a beat for this long: others may take them at 4 s.
const OWN_SILENCE: Duration = Duration::from_millis(LEASE_SILENCE_MS - 1_000);

/// A kind of lease that this node would own.
#[derive(Debug, Clone)]
pub struct Want {
    /// Its kind.
    pub kind: String,
    /// How many numbers there are, from 0.
    pub count: u32,
    /// What is under way in its name must end before it is handed over: the owner is asked by [`Change::Surplus`].
    pub drains: bool,
}

/// A change of what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Held from now on.
    Gained(Held),
    /// Not held any more; nothing may be done in its name.
    Lost(Held),
    /// Another node shall have it: end what is under way, then call [`LeaseKeeper::hand_over`]. Only of kinds that drain.
    Surplus(Held),
}

#[derive(Default)]
struct State {
    held: BTreeMap<(String, u32), i64>,
    /// Of what is held: what its owner was asked to end.
    draining: BTreeSet<(String, u32)>,
    changes: VecDeque<Change>,
}

impl State {
    fn gain(&mut self, held: Held) {
        self.held.insert((held.kind.clone(), held.number), held.epoch);
        self.changes.push_back(Change::Gained(held));
    }

    /// Of exactly this epoch: what was gained again meanwhile stays.
    fn lose_exactly(&mut self, held: &Held) {
        if self.held.get(&(held.kind.clone(), held.number)) == Some(&held.epoch) {
            self.lose(&held.kind, held.number);
        }
    }

    fn lose(&mut self, kind: &str, number: u32) {
        self.draining.remove(&(kind.to_owned(), number));
        if let Some(epoch) = self.held.remove(&(kind.to_owned(), number)) {
            self.changes.push_back(Change::Lost(Held { kind: kind.to_owned(), number, epoch }));
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps this node's leases of one store.
pub struct LeaseKeeper {
    shared: Arc<Shared>,
    leases: Arc<dyn Leases>,
    task: tokio::task::JoinHandle<()>,
}

impl LeaseKeeper {
    /// Beats once, looks once, and keeps on in the background until the context stops.
    pub async fn start(
        ctx: &Ctx,
        leases: Arc<dyn Leases>,
        endpoint: &str,
        wants: Vec<Want>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let mut looker = Looker {
            node: ctx.node().to_owned(),
            endpoint: endpoint.to_owned(),
            wants,
            leases: Arc::clone(&leases),
            shared: Arc::clone(&shared),
            beats: HashMap::new(),
            skipped: HashMap::new(),
        };
        looker.first_look(ctx.monotonic()).await?;
        let task_ctx = ctx.clone();
        let task = ctx.spawn("lease keeper", async move { looker.run(task_ctx).await });
        Ok(Self { shared, leases, task })
    }

    /// The next change; waits for one. Cancel-safe.
    pub async fn change(&mut self) -> Change {
        let shared = Arc::clone(&self.shared);
        loop {
            let notified = shared.changed.notified();
            if let Some(change) = self.try_change() {
                return change;
            }
            notified.await;
        }
    }

    /// The next change, if there is one.
    pub fn try_change(&mut self) -> Option<Change> {
        self.shared.with(|state| state.changes.pop_front())
    }

    /// What is held of a kind, by number.
    pub fn held(&self, kind: &str) -> Vec<Held> {
        self.shared.with(|state| {
            let of_kind = state.held.iter().filter(|((held, _), _)| held == kind);
            of_kind.map(|((kind, number), &epoch)| Held { kind: kind.clone(), number: *number, epoch }).collect()
        })
    }

    /// Whether exactly this (epoch included) is held.
    pub fn holds(&self, held: &Held) -> bool {
        self.shared.with(|state| state.held.get(&(held.kind.clone(), held.number)) == Some(&held.epoch))
    }

    /// Frees what was drained, so that another node takes it.
    pub async fn hand_over(&self, held: &Held) {
        hand_over(&*self.leases, &self.shared, std::slice::from_ref(held)).await;
    }

    /// A transaction in its name was fenced: it is somebody else's.
    pub fn lost(&self, held: &Held) {
        self.shared.with(|state| state.lose_exactly(held));
        self.shared.changed.notify_waiters();
    }

    /// Frees everything, so that others need not wait.
    pub async fn stop(self) {
        self.task.abort();
        let held = self.shared.with(|state| {
            let all = std::mem::take(&mut state.held);
            all.into_iter().map(|((kind, number), epoch)| Held { kind, number, epoch }).collect::<Vec<_>>()
        });
        if let Err(error) = self.leases.free(&held).await {
            tracing::warn!(%error, "leases could not be freed; others take them after {} ms", SILENCE.as_millis());
        }
    }
}

/// Whatever the store answers, they are not held here any more: what was drained is begun again only by taking it again,
/// as the next look does with what still stands under our name.
async fn hand_over(leases: &dyn Leases, shared: &Shared, surplus: &[Held]) {
    if let Err(error) = leases.free(surplus).await {
        tracing::warn!(%error, "leases could not be handed over; they are taken again");
    }
    shared.with(|state| {
        for held in surplus {
            state.lose_exactly(held);
        }
    });
    shared.changed.notify_waiters();
}

struct Looker {
    node: String,
    endpoint: String,
    wants: Vec<Want>,
    leases: Arc<dyn Leases>,
    shared: Arc<Shared>,
    /// Per other node: the beat last seen, when it was first seen, monotonic, and whether it was seen to move.
    beats: HashMap<String, (i64, Duration, bool)>,
    /// Looks that were skipped in a row, by kind.
    skipped: HashMap<String, u32>,
}

impl Looker {
    async fn run(mut self, ctx: Ctx) {
        let mut beaten_at = ctx.monotonic();
        let mut next_beat = beaten_at + BEAT_EVERY;
        loop {
            tokio::select! {
                () = ctx.stopping() => return,
                () = ctx.beat(LOOK_EVERY) => {}
            }
            let now = ctx.monotonic();
            // Looks come at fixed moments, one of them a moment early as well as late.
            if now + LOOK_EVERY / 2 >= next_beat {
                match self.leases.beat(&self.node, &self.endpoint).await {
                    Ok(()) => beaten_at = now,
                    Err(error) => tracing::warn!(%error, "could not raise the node's beat"),
                }
                next_beat = now + BEAT_EVERY;
            }
            // Frozen and woken, or cut off from the store: others may own everything by now.
            if ctx.monotonic().saturating_sub(beaten_at) > OWN_SILENCE {
                self.lose_all();
                continue;
            }
            if let Err(error) = self.look(now).await {
                tracing::warn!(%error, "could not look at the leases");
            }
        }
    }

    /// What a store that does not answer leaves undone is done by the looks that follow.
    async fn first_look(&mut self, now: Duration) -> Result<(), StoreError> {
        let mut done = self.leases.beat(&self.node, &self.endpoint).await;
        if done.is_ok() {
            done = self.look(now).await;
        }
        match done {
            Err(error) if error.is_away() => {
                tracing::warn!(%error, "the first look at the leases was cut short");
                Ok(())
            }
            done => done,
        }
    }

    fn lose_all(&self) {
        self.shared.with(|state| {
            let all: Vec<_> = state.held.keys().cloned().collect();
            all.iter().for_each(|(kind, number)| state.lose(kind, *number));
        });
        self.shared.changed.notify_waiters();
    }

    async fn look(&mut self, now: Duration) -> Result<(), StoreError> {
        let wants: Vec<Want> = self.wants.clone().into_iter().filter(|want| !self.may_skip(want)).collect();
        if wants.is_empty() {
            return Ok(());
        }
        let nodes = self.leases.nodes().await?;
        let alive = self.alive(&nodes, now);
        for want in wants {
            let rows = self.leases.rows(&want.kind, want.count).await?;
            self.forget_what_others_have(&want.kind, &rows);
            self.take_what_is_free(&want, &rows, &alive).await?;
            self.hand_over_surplus(&want, &alive).await;
        }
        Ok(())
    }

    /// More than the fair share is held, and others beat to whom it could go.
    async fn hand_over_surplus(&self, want: &Want, alive: &[String]) {
        let beating = alive.iter().filter(|node| self.beats.get(*node).is_some_and(|(_, _, moved)| *moved)).count();
        let living = u32::try_from(beating + 1).unwrap_or(u32::MAX);
        let share = want.count.div_ceil(living) as usize;
        let surplus: Vec<Held> = self.shared.with(|state| {
            let of_kind = state.held.iter().filter(|((kind, _), _)| *kind == want.kind);
            let kept = of_kind.filter(|(place, _)| !state.draining.contains(*place));
            let held = kept.map(|((kind, number), &epoch)| Held { kind: kind.clone(), number: *number, epoch });
            held.skip(share).take(HANDED_OVER_MAX).collect()
        });
        if surplus.is_empty() {
            return;
        }
        if !want.drains {
            return hand_over(&*self.leases, &self.shared, &surplus).await;
        }
        self.shared.with(|state| {
            for held in surplus {
                state.draining.insert((held.kind.clone(), held.number));
                state.changes.push_back(Change::Surplus(held));
            }
        });
        self.shared.changed.notify_waiters();
    }

    /// Everything of the kind is held: nothing can be gained, and a loss is found by the fence before it is found here.
    fn may_skip(&mut self, want: &Want) -> bool {
        let held = self.shared.with(|state| state.held.keys().filter(|(kind, _)| *kind == want.kind).count());
        let skipped = self.skipped.entry(want.kind.clone()).or_default();
        let skip = held == want.count as usize && *skipped < LOOKS_SKIPPED;
        *skipped = if skip { *skipped + 1 } else { 0 };
        skip
    }

    /// Names of the living others; a node counts as living until its beat stood still for 4 s before our eyes.
    fn alive(&mut self, nodes: &[NodeRow], now: Duration) -> Vec<String> {
        let mut alive = Vec::new();
        for row in nodes.iter().filter(|row| row.node != self.node) {
            let seen = self.beats.entry(row.node.clone()).or_insert((row.beat, now, false));
            if seen.0 != row.beat {
                *seen = (row.beat, now, true);
            }
            if now.saturating_sub(seen.1) < SILENCE {
                alive.push(row.node.clone());
            }
        }
        alive
    }

    fn forget_what_others_have(&self, kind: &str, rows: &[LeaseRow]) {
        let lost = self.shared.with(|state| {
            let before = state.changes.len();
            for row in rows {
                let mine = state.held.get(&(kind.to_owned(), row.number)).copied();
                if mine.is_some_and(|epoch| epoch != row.epoch || row.node != self.node) {
                    state.lose(kind, row.number);
                }
            }
            state.changes.len() > before
        });
        if lost {
            self.shared.changed.notify_waiters();
        }
    }

    async fn take_what_is_free(&self, want: &Want, rows: &[LeaseRow], alive: &[String]) -> Result<(), StoreError> {
        let living = u32::try_from(alive.len() + 1).unwrap_or(u32::MAX);
        let share = want.count.div_ceil(living);
        let mut mine =
            u32::try_from(self.shared.with(|state| state.held.keys().filter(|(kind, _)| *kind == want.kind).count()))
                .unwrap_or(u32::MAX);
        for row in rows {
            let holding = self.shared.with(|state| state.held.contains_key(&(want.kind.clone(), row.number)));
            // Under our own name but not held: from before a restart, or taken in a transaction whose answer was lost.
            // Nobody else takes it while we live, so we do, even beyond our share.
            let ours = row.node == self.node;
            let free = ours || row.node.is_empty() || !alive.contains(&row.node);
            if holding || !free || (mine >= share && !ours) {
                continue;
            }
            if let Some(epoch) = self.leases.take(&want.kind, row.number, row.epoch, &self.node).await? {
                mine += 1;
                self.shared.with(|state| state.gain(Held { kind: want.kind.clone(), number: row.number, epoch }));
                self.shared.changed.notify_waiters();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use loa_ports::clock::SystemClock;

    /// Lease rows in memory: enough to test the looking, not a store.
    #[derive(Debug, Default)]
    pub(crate) struct Rows {
        is_away: std::sync::atomic::AtomicBool,
        nodes: Mutex<BTreeMap<String, i64>>,
        rows: Mutex<BTreeMap<(String, u32), (String, i64)>>,
    }

    #[async_trait::async_trait]
    impl Leases for Rows {
        async fn beat(&self, node: &str, _endpoint: &str) -> Result<(), StoreError> {
            *self.nodes.lock().unwrap().entry(node.to_owned()).or_default() += 1;
            Ok(())
        }
        async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
            let nodes = self.nodes.lock().unwrap();
            Ok(nodes
                .iter()
                .map(|(node, &beat)| NodeRow { node: node.clone(), endpoint: String::new(), beat })
                .collect())
        }
        async fn rows(&self, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError> {
            let mut rows = self.rows.lock().unwrap();
            Ok((0..count)
                .map(|number| {
                    let (node, epoch) = rows.entry((kind.to_owned(), number)).or_default().clone();
                    LeaseRow { kind: kind.to_owned(), number, node, epoch }
                })
                .collect())
        }
        async fn take(&self, kind: &str, number: u32, seen: i64, node: &str) -> Result<Option<i64>, StoreError> {
            let mut rows = self.rows.lock().unwrap();
            let row = rows.entry((kind.to_owned(), number)).or_default();
            if row.1 != seen {
                return Ok(None);
            }
            *row = (node.to_owned(), seen + 1);
            Ok(Some(seen + 1))
        }
        async fn free(&self, held: &[Held]) -> Result<(), StoreError> {
            if self.is_away.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(StoreError::Away { why: "a test".to_owned() });
            }
            let mut rows = self.rows.lock().unwrap();
            for held in held {
                if let Some(row) = rows.get_mut(&(held.kind.clone(), held.number)).filter(|row| row.1 == held.epoch) {
                    row.0.clear();
                }
            }
            Ok(())
        }
    }

    fn wants() -> Vec<Want> {
        vec![Want { kind: "shard".to_owned(), count: 64, drains: false }]
    }

    /// Waits for a number of held leases.
    async fn holds_so_many(keeper: &LeaseKeeper, kind: &str, wanted: usize) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while keeper.held(kind).len() != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "{} held, {wanted} wanted", keeper.held(kind).len());
    }

    #[tokio::test]
    async fn who_joins_gets_a_share() {
        let rows = Arc::new(Rows::default());
        let clock = Arc::new(SystemClock::new());
        let wants = || {
            vec![
                Want { kind: "shard".to_owned(), count: 64, drains: false },
                Want { kind: "line".to_owned(), count: 2, drains: true },
                Want { kind: "job".to_owned(), count: 1, drains: false },
            ]
        };
        let (one, two) = (Ctx::test(clock.clone(), "one"), Ctx::test(clock, "two"));
        let mut first = LeaseKeeper::start(&one, rows.clone(), "", wants()).await.unwrap();
        while first.try_change().is_some() {}
        let second = LeaseKeeper::start(&two, rows.clone(), "", wants()).await.unwrap();
        assert_eq!((first.held("shard").len(), second.held("shard").len()), (64, 0));
        let surplus = loop {
            match first.change().await {
                Change::Surplus(held) => break held,
                Change::Lost(lost) => assert_eq!(lost.kind, "shard"),
                Change::Gained(held) => panic!("{held:?} was gained"),
            }
        };
        assert_eq!((surplus.kind.as_str(), surplus.number), ("line", 1));
        holds_so_many(&second, "shard", 32).await;
        assert!(first.holds(&surplus), "it is held until it is drained");
        first.hand_over(&surplus).await;
        holds_so_many(&second, "line", 1).await;
        assert_eq!((first.held("shard").len(), first.held("line").len(), first.held("job").len()), (32, 1, 1));
        assert_eq!(second.held("job").len(), 0, "one of a kind stays where it is");
    }

    #[tokio::test]
    async fn two_nodes_share_and_one_takes_over() {
        let rows = Arc::new(Rows::default());
        let clock = Arc::new(SystemClock::new());
        let (one, two) = (Ctx::test(clock.clone(), "one"), Ctx::test(clock, "two"));
        rows.beat("two", "").await.unwrap(); // both are started before either looks
        let first = LeaseKeeper::start(&one, rows.clone(), "", wants()).await.unwrap();
        let mut second = LeaseKeeper::start(&two, rows.clone(), "", wants()).await.unwrap();
        assert_eq!((first.held("shard").len(), second.held("shard").len()), (32, 32));
        first.stop().await;
        one.stop();
        let mut gained = 0;
        while gained < 64 {
            if let Change::Gained(held) = tokio::time::timeout(Duration::from_secs(20), second.change()).await.unwrap()
            {
                assert!(second.holds(&held));
                gained += 1;
            }
        }
    }

    /// Its line is closed by then: kept under the old epoch, it would stay closed for ever.
    #[tokio::test]
    async fn what_was_drained_and_could_not_be_freed_is_taken_again() {
        let rows = Arc::new(Rows::default());
        let one = Ctx::test(Arc::new(SystemClock::new()), "one");
        let wants = vec![Want { kind: "line".to_owned(), count: 1, drains: true }];
        let mut keeper = LeaseKeeper::start(&one, rows.clone(), "", wants).await.unwrap();
        let Change::Gained(drained) = keeper.change().await else { panic!("gained first") };
        rows.is_away.store(true, std::sync::atomic::Ordering::Relaxed);
        keeper.hand_over(&drained).await;
        assert_eq!(keeper.change().await, Change::Lost(drained.clone()));
        let again = tokio::time::timeout(Duration::from_secs(20), keeper.change()).await.unwrap();
        assert_eq!(again, Change::Gained(Held { epoch: drained.epoch + 1, ..drained }));
    }

    #[tokio::test]
    async fn a_restarted_node_has_its_leases_at_once() {
        let rows = Arc::new(Rows::default());
        let clock = Arc::new(SystemClock::new());
        let before = LeaseKeeper::start(&Ctx::test(clock.clone(), "one"), rows.clone(), "", wants()).await.unwrap();
        let old = before.held("shard");
        let after = LeaseKeeper::start(&Ctx::test(clock, "one"), rows.clone(), "", wants()).await.unwrap();
        assert_eq!(after.held("shard").len(), 64);
        assert!(
            after.held("shard").iter().zip(&old).all(|(new, old)| new.epoch == old.epoch + 1),
            "the old process is fenced"
        );
    }
    /// The store took our take-over and lost its answer; since then another node lives and our share is smaller.
    #[tokio::test]
    async fn what_stands_under_our_name_is_ours_beyond_the_share() {
        let rows = Arc::new(Rows::default());
        for number in 0..40 {
            rows.take("shard", number, 0, "one").await.unwrap();
        }
        rows.beat("two", "").await.unwrap();
        let one = Ctx::test(Arc::new(SystemClock::new()), "one");
        let keeper = LeaseKeeper::start(&one, rows.clone(), "", wants()).await.unwrap();
        assert_eq!(keeper.held("shard").len(), 40, "nobody else takes them while we live");
    }
}
