//! Who takes a shard over from the store knows what its owner knew, at whatever moment that one died.
//!
//! Beside the owner that lives, a successor is made of the stored rows and of what is read again from the stored offset; both
//! are compared by what decides what happens next.

use std::collections::{BTreeMap, BTreeSet};

use loa_domain::campaign::CampaignState;
use loa_domain::channel::Lane;
use loa_domain::ids::{ChunkKey, FreezeId, Shard};
use loa_domain::mask::Mask;
use loa_domain::state::RecipientState;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::history::{Act, act, play};
use super::world::World;
use crate::core::Engine;

/// One row: its number, and who is offered, settled, in doubt, given back (why, after how many tries), never sent.
type RowMemory = (u32, Mask, Mask, Mask, Vec<(u16, u8, u8)>, Vec<(u16, RecipientState)>);

/// The rows of a chunk, and who waits to be released again by which row.
type ChunkMemory = (Vec<RowMemory>, Vec<(u16, u32)>);
/// Shard, variant and account of a cursor.
type CursorKey = (Shard, u16, String);

/// What decides what happens next.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    /// Chunks of which something is under way: their rows, and who waits to be released again by which row.
    chunks: BTreeMap<ChunkKey, ChunkMemory>,
    /// Where each cursor stands, and how many chunks are ahead of it.
    cursors: BTreeMap<CursorKey, ((u32, u16), usize)>,
    finished: BTreeSet<(Shard, FreezeId)>,
    /// Parts in use, by shard and lane.
    in_use: BTreeMap<(Shard, Lane), u64>,
}

fn memory(engine: &Engine) -> Memory {
    let mut memory = Memory::default();
    for (&shard, core) in &engine.shards {
        for (&key, chunk) in &core.chunks {
            // What was told is noted with a later transaction; telling it again is harmless.
            let under_way = !chunk.waiting.is_empty() || chunk.rows.iter().any(|row| !row.unsettled().is_empty());
            if !under_way {
                continue; // it is let go with the next transaction
            }
            let rows = chunk.rows.iter().map(|row| {
                let mut returned: Vec<_> =
                    row.returned.iter().map(|back| (back.index, back.why.code(), back.attempts)).collect();
                returned.sort_unstable();
                let decided = row.decided.iter().map(|decided| (decided.index, decided.state)).collect();
                (row.no, row.mask, row.settled, row.in_doubt, returned, decided)
            });
            let waiting = chunk.waiting.iter().map(|waiting| (waiting.index, waiting.no)).collect();
            memory.chunks.insert(key, (rows.collect(), waiting));
        }
        memory.finished.extend(core.finished.iter().map(|&freeze| (shard, freeze)));
        let used = core.in_use.iter().filter(|(_, used)| **used > 0);
        used.for_each(|(&(_, lane), &used)| *memory.in_use.entry((shard, lane)).or_default() += used);
    }
    for (key, source) in engine.sources.iter().filter(|(_, source)| !source.plan.is_empty()) {
        let account = engine.accounts.iter().find(|(number, _)| *number == key.account);
        let account = account.map(|(_, account)| account.id.to_string()).unwrap_or_default();
        memory.cursors.insert((key.shard, key.variant, account), (source.cursor(), source.plan.len()));
    }
    memory
}

fn is_known_to_a_successor(world: &mut World) -> Result<(), TestCaseError> {
    world.read_settlements();
    while world.fetch() {}
    let (lived, successor) = (memory(&world.engine), memory(&world.successor()));
    prop_assert_eq!(lived, successor);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_successor_knows_what_the_owner_knew(
        sizes in proptest::collection::vec(1..40_u16, 1..7),
        rate in prop_oneof![Just(4.0), Just(40.0), Just(400.0)],
        acts in proptest::collection::vec(act(), 1..60),
        cancelled: bool,
        after in proptest::collection::vec(act(), 0..20),
    ) {
        let mut world = World::new(Lane::Bulk, &sizes, rate);
        for act in acts {
            play(&mut world, act);
            is_known_to_a_successor(&mut world)?;
        }
        if cancelled {
            world.set_state(CampaignState::Cancelled);
            for act in after.into_iter().filter(|act| !matches!(act, Act::State(_))) {
                play(&mut world, act);
                is_known_to_a_successor(&mut world)?;
            }
        }
    }
}
