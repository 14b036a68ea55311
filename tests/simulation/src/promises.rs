//! The promises, looked at in both books.
//!
//! Must stay true: a person is told by place, never by number.

use std::collections::BTreeMap;
use std::time::Duration;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_domain::ids::{ChunkKey, SliceKey};
use loa_domain::state::RecipientState;
use loa_ports::store::claims::Intent;
use loa_ports::store::dispatch::ReleaseRow;

use crate::book::Page;
use crate::campaign::Person;
use crate::world::World;

/// Nobody arrives so long after the campaign's end: what had left by then is not longer on its way.
const ARRIVES_WITHIN: Duration = Duration::from_secs(2);
/// Nothing leaves so long after T0 of a stop or an opt-out: a gateway that has not heard of it stops 1.5 s after it last asked.
/// How long the carrier's line takes beyond that is nobody's promise, but not longer than [`WAY_MAX`].
const LEAVES_WITHIN: Duration = Duration::from_millis(1_600);
/// The longest way to the carrier in this model.
const WAY_MAX: Duration = Duration::from_millis(1_500);

/// What of the ledger is not as it must be in the end, a sentence each.
pub(crate) fn ledger_faults(world: &World) -> Vec<String> {
    let ledger = ledger(world);
    let pages = world.smsc.book.pages();
    let empty = Page::default();
    let people = &world.operator.facts.people;
    let mut faults = Vec::new();
    for person in people {
        let page = pages.get(&person.number).unwrap_or(&empty);
        let state = ledger.get(&person.chunk).and_then(|states| states.get(usize::from(person.index))).copied();
        if let Err(why) = agrees(world, person, state.unwrap_or(RecipientState::Open), page) {
            faults.push(format!("chunk {} index {}: {why}", person.chunk.chunk, person.index));
        }
    }
    let known = ledger.values().map(Vec::len).sum::<usize>();
    if known != people.len() && faults.is_empty() {
        faults.push(format!("the ledger has {known} of {} people", people.len()));
    }
    let left = world.smsc.receipts_left();
    if left > 0 {
        faults.push(format!("{left} receipts were not taken"));
    }
    faults
}

/// What the stores hold of somebody whom the two books do not agree about, a line for each of the newest rows.
pub(crate) fn rows_of_first(world: &World) -> Vec<String> {
    const ROWS_SHOWN: usize = 4;
    let ledger = ledger(world);
    let (pages, empty) = (world.smsc.book.pages(), Page::default());
    let state =
        |person: &Person| ledger.get(&person.chunk).and_then(|states| states.get(usize::from(person.index))).copied();
    let wrong = |person: &&Person| {
        let page = pages.get(&person.number).unwrap_or(&empty);
        agrees(world, person, state(person).unwrap_or(RecipientState::Open), page).is_err()
    };
    let Some(person) = world.operator.facts.people.iter().find(wrong) else { return Vec::new() };
    let dispatch = world.dispatch.tables();
    let rows = dispatch.own.rows.values().filter(|row| row.key.chunk == person.chunk);
    let mut rows: Vec<_> = rows.filter(|row| row.mask.contains(person.index)).collect();
    rows.reverse();
    rows.truncate(ROWS_SHOWN);
    let seconds = |us: i64| (us - world.wall_us(Duration::ZERO)) / 1_000_000;
    let line = |row: &&ReleaseRow| {
        let back = row.progress.returned.iter().find(|back| back.index == person.index);
        format!(
            "chunk {} index {} release {}: released at {} s, until {} s, returned {:?}, settled {}, in doubt {}",
            person.chunk.chunk,
            person.index,
            row.key.release_no,
            seconds(row.released_at_us),
            seconds(row.hand_over_by_us),
            back.map(|back| (back.why, seconds(back.not_before_us))),
            row.progress.settled.contains(person.index),
            row.progress.in_doubt.contains(person.index),
        ) + &claim_of(world, row, person.index)
    };
    let arrivals = pages.get(&person.number).unwrap_or(&empty).arrivals.iter();
    rows.iter().map(line).chain(arrivals.map(|arrival| format!("{arrival:?}"))).collect()
}

/// The slice of a row that holds an index.
fn slice_of(row: &ReleaseRow, index: u16) -> Option<SliceKey> {
    let place = row.mask.iter().position(|offered| offered == index)?;
    let slice = u16::try_from(place / usize::from(row.slice_length)).unwrap_or(u16::MAX);
    Some(SliceKey { release: row.key, slice })
}

/// What the claims say of an index of a row.
fn claim_of(world: &World, row: &ReleaseRow, index: u16) -> String {
    let claims = world.claims.tables();
    let Some(claim) = slice_of(row, index).and_then(|slice| claims.own.claims.get(&slice)) else {
        return "; never claimed".to_owned();
    };
    let life = if world.ended().contains(&claim.incarnation) { "ended" } else { "alive" };
    let settlement = claim.settlement.as_deref().map(|bytes| {
        let settled = <event::SliceSettled as prost::Message>::decode(bytes).unwrap_or_default();
        let mask = convert::mask(&settled.mask).unwrap_or_default();
        let at = mask.iter().position(|covered| covered == index).unwrap_or_default();
        format!(
            "{:?} at {} ms by {}",
            convert::outcome_at(&settled, at),
            (settled.at_us - world.wall_us(Duration::ZERO)) / 1_000,
            if settled.own { "its claimant" } else { "another" }
        )
    });
    format!("; claim: {:?} by one {life}, settlement {settlement:?}", claim.intent)
}

/// Whether what the ledger says of a person is what the carrier's book says.
fn agrees(world: &World, person: &Person, state: RecipientState, page: &Page) -> Result<(), String> {
    use RecipientState as S;
    let nothing_left = page.arrivals.iter().all(|arrival| !arrival.taken && (arrival.told_not_taken || arrival.told));
    match state {
        S::Open | S::Submitted | S::Unknown => Err(format!("still {state} in the end")),
        S::Delivered if page.receipt == Some(S::Delivered) || world.operator.facts.parts > 1 && page.is_taken() => {
            Ok(())
        }
        S::Undelivered if page.is_taken() => Ok(()),
        S::Delivered | S::Undelivered => Err(format!("{state}, and the carrier's receipt is {:?}", page.receipt)),
        S::InDoubt if page.receipt.is_some() && world.operator.facts.parts == 1 => {
            Err("in doubt, and its receipt was acknowledged".to_owned())
        }
        S::InDoubt if may_be_in_doubt(world, person, page) => Ok(()),
        S::InDoubt => Err("in doubt, and nobody ended who had begun it".to_owned()),
        S::Skipped | S::Cancelled | S::Expired | S::Rejected if nothing_left => Ok(()),
        S::Skipped | S::Cancelled | S::Expired | S::Rejected => Err(format!("{state}, and handed over")),
    }
}

/// The carrier did not answer, or who had begun its slice ended before it was settled.
fn may_be_in_doubt(world: &World, person: &Person, page: &Page) -> bool {
    let unanswered = page.arrivals.iter().any(|arrival| !arrival.told && !arrival.told_not_taken);
    // A long text of which some parts were taken and the rest could not follow.
    let partial = world.operator.facts.parts > 1 && page.is_taken();
    unanswered || partial || begun_and_left(world, person)
}

fn begun_and_left(world: &World, person: &Person) -> bool {
    let ended = world.ended();
    let dispatch = world.dispatch.tables();
    let claims = world.claims.tables();
    let rows =
        dispatch.own.rows.values().filter(|row| row.key.chunk == person.chunk && row.mask.contains(person.index));
    rows.into_iter().any(|row| {
        let claim = slice_of(row, person.index).and_then(|slice| claims.own.claims.get(&slice));
        claim.is_some_and(|claim| {
            claim.intent == Intent::Begun && claim.settlement.is_none() && ended.contains(&claim.incarnation)
        })
    })
}

/// What was handed over that should not have been, a sentence each.
pub(crate) fn hand_over_faults(world: &World) -> Vec<String> {
    let (stops, opted_out) = (world.operator.stops(), world.operator.opted_out());
    let pages = world.smsc.book.pages();
    let facts = &world.operator.facts;
    let mut faults = Vec::new();
    for person in &facts.people {
        let Some(page) = pages.get(&person.number) else { continue };
        let place = format!("chunk {} index {}", person.chunk.chunk, person.index);
        faults.extend(page.wrong.iter().map(|why| format!("{place}: {why}")));
        for arrival in page.arrivals.iter().filter(|arrival| !arrival.was_frozen) {
            let (left, at) = (arrival.left, arrival.at);
            let is_late = |since: Duration| left >= since + LEAVES_WITHIN || at >= since + LEAVES_WITHIN + WAY_MAX;
            let is_in = |&(from, to): &(Duration, Option<Duration>)| is_late(from) && to.is_none_or(|to| left < to);
            if let Some((from, _)) = stops.iter().find(|stop| is_in(stop)) {
                faults.push(format!("{place}: left at {left:?}, arrived at {at:?}, stopped at {from:?}"));
            }
            let out = opted_out.iter().find(|(number, since)| *number == person.number && is_late(*since));
            if let Some((_, since)) = out {
                faults.push(format!("{place}: left at {left:?}, arrived at {at:?}, opted out at {since:?}"));
            }
            // The end is known beforehand, so nothing leaves from then on; what has left may be under way a while.
            let is_over = |at: Duration| world.wall_us(at) >= facts.last_us();
            if is_over(left) || at >= ARRIVES_WITHIN && is_over(at - ARRIVES_WITHIN) {
                faults.push(format!("{place}: left at {left:?}, arrived at {at:?}, after the campaign's time"));
            }
        }
    }
    faults
}

/// Every person's state, as the ledger has stored it: the first column of a chunk's blob.
fn ledger(world: &World) -> BTreeMap<ChunkKey, Vec<RecipientState>> {
    const HEAD: usize = 9;
    const WIDTH: usize = 17;
    let tables = world.report.tables();
    let states = |(key, facts): (&ChunkKey, &loa_ports::store::report::ChunkFacts)| {
        let Some(blob) = tables.own.states.get(key) else {
            return (*key, vec![RecipientState::Open; facts.keys.len()]);
        };
        let raw = zstd::bulk::decompress(blob, 1 << 20).expect("a blob of the ledger");
        assert_eq!(raw[0], 1, "the format of the ledger's blobs has changed");
        let count = (raw.len() - HEAD) / WIDTH;
        let state = |&code: &u8| RecipientState::from_code(code.into()).expect("a state of the ledger");
        (*key, raw[HEAD..HEAD + count].iter().map(state).collect())
    };
    tables.own.chunks.iter().map(states).collect()
}
