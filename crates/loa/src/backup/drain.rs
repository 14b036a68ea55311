//! When nothing is under way: every release is answered, and what was said of it has been read and stored by all who count.
//!
//! It is asked of the stores and the log themselves, since they are what is copied; so it holds for every process, also
//! for one that does not answer.
//!
//! Must stay true: the ends of the log are asked before the stores, so a reader that has reached them has read everything
//! that was there.

use std::time::Duration;

use loa_contract::topics::{
    OutcomesTopic, ReceiptsTopic, SettlementsTopic, SinglesTopic, SuppressionTopic, Topic as _, releases,
};
use loa_domain::channel::{Channel, Lane};
use loa_domain::limits::DRAIN_S;
use loa_ports::clock::{Clock as _, SystemClock};
use loa_runtime::Role;

use crate::compose::{Beside, Bounds};
use crate::exit::Failure;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Receipts that still come in are waited for so long once all else is done; later ones are not in the copy.
const RECEIPTS_WAIT: Duration = Duration::from_secs(8);
/// How long one role may take to store what the others have said meanwhile.
const CATCH_UP: Duration = Duration::from_secs(20);

/// Topics on which something is said only while releases are under way.
fn of_sending() -> Vec<&'static str> {
    let lanes =
        Channel::ALL.iter().flat_map(|&channel| Lane::ALL.iter().map(move |&lane| releases(channel, lane).name));
    lanes.chain([SettlementsTopic::SPEC.name, SinglesTopic::SPEC.name]).collect()
}

/// What a role reads that must be stored before it is copied.
fn read_by(role: Role) -> Vec<&'static str> {
    let lanes = |channel| Lane::ALL.iter().map(move |&lane| releases(channel, lane).name).collect();
    match role {
        Role::Dispatch => {
            vec![SettlementsTopic::SPEC.name, SinglesTopic::SPEC.name, SuppressionTopic::SPEC.name]
        }
        Role::Sms => lanes(Channel::Sms),
        Role::Email => lanes(Channel::Email),
        Role::Report => vec![SettlementsTopic::SPEC.name, OutcomesTopic::SPEC.name],
        Role::Registry | Role::Audience | Role::Console => Vec::new(),
    }
}

/// What has been said so far of what is sent; the same again means that nothing was released meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said(Vec<(&'static str, Vec<(i64, i64)>)>);

impl Said {
    fn of(bounds: &Bounds) -> Self {
        let ends = |topic: &'static str| (topic, bounds.get(topic).cloned().unwrap_or_default());
        // The start of a topic moves with time alone.
        Self(
            of_sending()
                .into_iter()
                .map(ends)
                .map(|(topic, all)| (topic, all.into_iter().map(|(_, end)| (0, end)).collect()))
                .collect(),
        )
    }
}

/// Waits until nothing is under way; what was said by then.
pub(super) async fn drained(installation: &Beside) -> Result<Said, Failure> {
    let clock = SystemClock::new();
    let (mut before, mut only_receipts_since) = (None, None);
    loop {
        let (waits_for, said, receipts) = look(installation).await?;
        let now = clock.monotonic();
        let stands = before.replace(said.clone()) == Some(said.clone());
        if waits_for.is_empty() && stands {
            let since = *only_receipts_since.get_or_insert(now);
            if !receipts || now.saturating_sub(since) > RECEIPTS_WAIT {
                return Ok(said);
            }
        }
        if now > Duration::from_secs(DRAIN_S) {
            let rest = if waits_for.is_empty() { "records go on to come".to_owned() } else { waits_for.join(", ") };
            return Err(Failure::Failed(format!(
                "after {DRAIN_S} s it is not yet still: {rest}; see /ready of each process and `loa carrier status`, then try again"
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is waited for, what was said, and whether receipts are still to be joined.
async fn look(installation: &Beside) -> Result<(Vec<String>, Said, bool), Failure> {
    let bounds = installation.bounds().await?;
    let mut waits_for = Vec::new();
    let unsettled = installation.unsettled().await?;
    if unsettled > 0 {
        waits_for.push(format!("{unsettled} releases are not settled"));
    }
    for role in [Role::Dispatch, Role::Sms, Role::Email, Role::Report] {
        waits_for.extend(behind(installation, role, &read_by(role), &bounds).await?);
    }
    let receipts = behind(installation, Role::Sms, &[ReceiptsTopic::SPEC.name], &bounds).await?;
    Ok((waits_for, Said::of(&bounds), !receipts.is_empty()))
}

/// Topics that a role has not read and stored to these ends.
async fn behind(
    installation: &Beside,
    role: Role,
    topics: &[&'static str],
    bounds: &Bounds,
) -> Result<Vec<String>, Failure> {
    let read = installation.read_up_to(role).await?;
    let mut behind = Vec::new();
    for &topic in topics {
        let partitions = (0..).zip(bounds.get(topic).map(Vec::as_slice).unwrap_or_default());
        let missing: i64 = partitions
            .map(|(partition, &(start, end))| {
                let next = read.get(&(topic.to_owned(), partition)).copied().unwrap_or(start);
                (end - next.max(start)).max(0)
            })
            .sum();
        if missing > 0 {
            behind.push(format!("{role} has {missing} records of {topic} to read"));
        }
    }
    Ok(behind)
}

/// Waits until a role has stored everything that is on the log now.
pub(super) async fn caught_up(installation: &Beside, role: Role) -> Result<(), Failure> {
    let (clock, bounds) = (SystemClock::new(), installation.bounds().await?);
    loop {
        let behind = behind(installation, role, &read_by(role), &bounds).await?;
        if behind.is_empty() {
            return Ok(());
        }
        if clock.monotonic() > CATCH_UP {
            return Err(Failure::Failed(format!("after {} s {}; try again", CATCH_UP.as_secs(), behind.join(", "))));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether nothing was released since: what was said is the same, and nothing is under way.
pub(super) async fn stood_still(installation: &Beside, said: &Said) -> Result<(), Failure> {
    if Said::of(&installation.bounds().await?) == *said && installation.unsettled().await? == 0 {
        return Ok(());
    }
    let why = "something was released while the stores were copied; the backup is void, make another";
    Err(Failure::Failed(why.to_owned()))
}
