//! Two books about the same messages: Loa's ledger, line by line, and what the sinks have accepted.
//!
//! | state | accepted by the sink |
//! |---|---|
//! | delivered, submitted, unknown, expired by a receipt, undelivered by a receipt | once, all parts |
//! | in doubt, undelivered after some parts | at most once |
//! | open, skipped, cancelled, rejected, expired unsent, undelivered for want of a mailbox | never |
//!
//! Must stay true: the comparison is recipient by recipient and both ways round; a message that only one book knows, or
//! that a sink accepted twice, is a fault, whatever the totals say. Faults name messages by id, never by address.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use loa_contract::pb::report::v1 as report;
use loa_domain::ids::MessageId;
use loa_domain::state::{Reason, RecipientState};
use loa_sim::log::LogLine;

use crate::sims::Sinks;
use crate::users::Users;
use crate::wait::wait_for;
use crate::{Fault, fault, plan};

/// Faults that are told in words; the rest is counted.
const TOLD_MAX: usize = 20;
/// How long receipts may go on changing a ledger that is compared.
const STILL_LIMIT: Duration = Duration::from_secs(60);
/// How long reading one line may take beside that.
const READING: Duration = Duration::from_micros(50);

/// One recipient as exported.
#[derive(Debug, Clone)]
pub struct Line {
    /// The message.
    pub message: MessageId,
    /// `sms` or `email`.
    pub channel: String,
    /// E.164 digits, or mailbox.
    pub address: String,
    /// Where it stands.
    pub state: RecipientState,
    /// Why.
    pub reason: Reason,
    /// Through whom.
    pub account: String,
    /// Parts of the text.
    pub parts: u8,
    /// Parts delivered.
    pub parts_delivered: u8,
}

impl Line {
    /// How often the sink must have accepted it, from and to.
    fn expected(&self) -> (u32, u32) {
        use RecipientState as S;
        let by_receipt = matches!(self.reason, Reason::Receipt | Reason::None);
        match self.state {
            S::Delivered | S::Submitted | S::Unknown => (1, 1),
            S::Undelivered | S::Expired if by_receipt => (1, 1),
            S::InDoubt => (0, 1),
            S::Undelivered if self.reason == Reason::Partial => (0, 1),
            S::Open | S::Skipped | S::Cancelled | S::Rejected | S::Undelivered | S::Expired => (0, 0),
        }
    }
}

/// One campaign in Loa's book.
pub struct Page {
    /// The campaign.
    pub id: String,
    /// Every recipient.
    pub lines: Vec<Line>,
    /// The totals.
    pub ledger: report::CampaignLedger,
    /// What was frozen, by variant.
    pub frozen: BTreeMap<u32, u64>,
}

impl Page {
    /// Recipients in a state.
    pub fn in_state(&self, state: RecipientState) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.state == state)
    }
}

/// Both books.
pub struct Books {
    /// Loa's, by campaign.
    pub pages: Vec<Page>,
    /// Messages that belong to no campaign's export: channel and address of single sends.
    singles: Vec<(String, String)>,
    sink: HashMap<(&'static str, String), Vec<LogLine>>,
}

impl Books {
    /// The sinks' books as they stand.
    pub async fn new(sinks: &dyn Sinks) -> Result<Self, Fault> {
        let accepted = sinks.books().await?;
        let mut sink: HashMap<_, Vec<LogLine>> = HashMap::new();
        for (channel, lines) in [("sms", accepted.sms), ("email", accepted.mail)] {
            for line in lines {
                sink.entry((channel, line.address.to_lowercase())).or_default().push(line);
            }
        }
        Ok(Self { pages: Vec::new(), singles: Vec::new(), sink })
    }

    /// Adds a campaign: its export, its totals, its freeze. Receipts may still be coming; then it is read again.
    pub async fn add(&mut self, users: &Users, id: &str) -> Result<(), Fault> {
        let campaign = plan::campaign(users, id).await?;
        let variants = campaign.freeze.iter().flat_map(|freeze| &freeze.variants);
        let frozen: BTreeMap<u32, u64> = variants.map(|variant| (variant.variant, variant.frozen)).collect();
        let limit = STILL_LIMIT + READING * u32::try_from(frozen.values().sum::<u64>())?;
        let (ledger, lines) = wait_for("a ledger that stands still while its lines are read", limit, async || {
            let before = ledger(users, id).await?;
            let lines = export(users, id).await?;
            let after = ledger(users, id).await?;
            let stands_still = before.variants == after.variants;
            if stands_still { Ok(Some((after, lines))) } else { Err(fault(counts(&after))) }
        })
        .await?;
        self.pages.push(Page { id: id.to_owned(), lines, ledger, frozen });
        Ok(())
    }

    /// A single send that was handed over.
    pub fn add_single(&mut self, channel: &str, address: impl ToString) {
        self.singles.push((channel.to_owned(), address.to_string()));
    }

    /// The first campaign's page.
    pub fn page(&self) -> Result<&Page, Fault> {
        self.pages.first().ok_or_else(|| fault("no campaign was compared"))
    }

    /// Compares; every fault in one answer.
    pub fn check(&self) -> Result<(), Fault> {
        let mut faults: Vec<String> = self.pages.iter().flat_map(totals).collect();
        faults.extend(self.recipients());
        if faults.is_empty() {
            return Ok(());
        }
        let told = faults.iter().take(TOLD_MAX).map(|fault| format!("\n  {fault}")).collect::<String>();
        let counts = self.pages.iter().map(|page| format!("\n  {}", counts(&page.ledger))).collect::<String>();
        Err(fault(format!("the books differ in {} places:{told}\nledgers:{counts}", faults.len())))
    }

    /// Each recipient of Loa's book in the sink's, and each line of the sink's in Loa's.
    fn recipients(&self) -> Vec<String> {
        let mut wanted: HashMap<(&str, &str), Wanted<'_>> = HashMap::new();
        for line in self.pages.iter().flat_map(|page| &page.lines) {
            let (from, to) = line.expected();
            let want = wanted.entry((&line.channel, &line.address)).or_default();
            want.of.push(line);
            if from == 1 {
                want.whole.push(line.parts.max(1));
            } else if to == 1 {
                want.perhaps += 1;
            }
        }
        for (channel, address) in &self.singles {
            wanted.entry((channel, address)).or_default().whole.push(1);
        }
        let none = Vec::new();
        let mut faults = Vec::new();
        for ((channel, address), want) in &wanted {
            let key = (if *channel == "sms" { "sms" } else { "email" }, (*address).to_owned());
            faults.extend(want.check(self.sink.get(&key).unwrap_or(&none)));
        }
        let known: HashSet<(&str, &str)> = wanted.keys().copied().collect();
        let strange = self.sink.keys().filter(|(channel, address)| !known.contains(&(*channel, address.as_str())));
        faults.extend(
            strange.map(|(channel, _)| format!("{channel}: a message was accepted for somebody no ledger knows")),
        );
        faults
    }
}

/// What the sink must hold of one address.
#[derive(Default)]
struct Wanted<'a> {
    of: Vec<&'a Line>,
    /// Parts of each message that must be there.
    whole: Vec<u8>,
    /// Messages that may be there.
    perhaps: usize,
}

impl Wanted<'_> {
    fn check(&self, lines: &[LogLine]) -> Vec<String> {
        let who = || match self.of.first() {
            Some(line) => format!("{} {} ({} {})", line.channel, line.message, line.state, line.reason),
            None => "a single send".to_owned(),
        };
        let mut faults = Vec::new();
        let mut seen = HashSet::new();
        let repeated = lines.iter().filter(|line| !seen.insert((line.text_hash, line.part, line.parts))).count();
        if repeated > 0 {
            faults.push(format!("{}: repeated, {repeated} parts were accepted again", who()));
        }
        // How often part k of n was accepted, less how often it must have been.
        let mut balance: BTreeMap<(u8, u8), i64> = BTreeMap::new();
        for line in lines {
            *balance.entry((line.part, line.parts)).or_default() += 1;
        }
        for &parts in &self.whole {
            for part in 1..=parts {
                *balance.entry((part, parts)).or_default() -= 1;
            }
        }
        if balance.values().any(|&count| count < 0) {
            faults.push(format!("{}: lost, the ledger has it as handed over and the sink has not", who()));
        }
        let perhaps = i64::try_from(self.perhaps).unwrap_or(i64::MAX);
        if balance.values().any(|&count| count > perhaps) {
            faults.push(format!("{}: the sink has it, the ledger says that it was not handed over", who()));
        }
        faults
    }
}

/// Faults of a campaign's totals against its own lines and its freeze.
fn totals(page: &Page) -> Vec<String> {
    let mut faults = Vec::new();
    if !page.ledger.complete {
        faults.push(format!("{}: the ledger does not know the whole freeze", page.id));
    }
    let ids: HashSet<_> = page.lines.iter().map(|line| line.message).collect();
    if ids.len() != page.lines.len() {
        faults.push(format!("{}: the export names a message twice", page.id));
    }
    for (&variant, &frozen) in &page.frozen {
        let Some(one) = page.ledger.variants.iter().find(|one| one.variant == variant) else {
            faults.push(format!("{} variant {variant}: not in the ledger", page.id));
            continue;
        };
        let lines = page.lines.iter().filter(|line| u32::from(line.message.chunk.variant) == variant);
        let counted = states(one).map(|(state, count)| {
            let exported = lines.clone().filter(|line| line.state == state).count();
            (state, count, u64::try_from(exported).unwrap_or(u64::MAX))
        });
        for (state, count, exported) in counted {
            if count != exported {
                faults.push(format!("{} variant {variant}: {count} {state} in total, {exported} by line", page.id));
            }
        }
        let sum: u64 = states(one).iter().map(|(_, count)| count).sum();
        if !one.adds_up || sum != frozen || one.frozen != frozen {
            faults.push(format!(
                "{} variant {variant}: {sum} in all states, {} in total, {frozen} frozen",
                page.id, one.frozen
            ));
        }
        if one.repeated != 0 {
            faults.push(format!("{} variant {variant}: {} repeated", page.id, one.repeated));
        }
        if one.open != 0 && matches!(page.ledger.state.as_str(), "done" | "cancelled") {
            faults.push(format!(
                "{} variant {variant}: lost, {} still open in a campaign that is over",
                page.id, one.open
            ));
        }
    }
    faults
}

/// A campaign's ledger as it stands.
pub(crate) async fn ledger(users: &Users, id: &str) -> Result<report::CampaignLedger, Fault> {
    let request = report::GetLedgerRequest { campaign_id: id.to_owned() };
    let answer = users.viewer.report().get_ledger(request).await?.into_inner();
    answer.ledger.ok_or_else(|| fault("no ledger in the answer"))
}

fn states(one: &report::Ledger) -> [(RecipientState, u64); 10] {
    use RecipientState as S;
    [
        (S::Open, one.open),
        (S::InDoubt, one.in_doubt),
        (S::Submitted, one.submitted),
        (S::Delivered, one.delivered),
        (S::Undelivered, one.undelivered),
        (S::Expired, one.expired),
        (S::Rejected, one.rejected),
        (S::Unknown, one.unknown),
        (S::Skipped, one.skipped),
        (S::Cancelled, one.cancelled),
    ]
}

/// A ledger in one line.
pub fn counts(ledger: &report::CampaignLedger) -> String {
    let variant = |one: &report::Ledger| {
        let counts =
            states(one).into_iter().filter(|(_, count)| *count > 0).map(|(state, count)| format!("{count} {state}"));
        let reasons: BTreeMap<_, _> = one.reasons.iter().collect();
        format!("{} = {} {reasons:?}", one.frozen, counts.collect::<Vec<_>>().join(" + "))
    };
    ledger.variants.iter().map(variant).collect::<Vec<_>>().join("; ")
}

/// The export of a campaign, read as a spreadsheet would.
pub async fn export(users: &Users, id: &str) -> Result<Vec<Line>, Fault> {
    let request = report::ExportLedgerRequest { campaign_id: id.to_owned() };
    let mut answers = users.operator.report().export_ledger(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(answer) = answers.message().await? {
        bytes.extend_from_slice(&answer.data);
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).ok_or_else(|| fault("the export has no BOM"))?;
    let mut lines = Vec::new();
    for record in csv::Reader::from_reader(text).records() {
        let record = record?;
        let cell = |at: usize| record.get(at).map(|text| text.trim_start_matches('\'')).unwrap_or_default();
        let reason = Reason::ALL.iter().copied().find(|reason| reason.name() == cell(4));
        lines.push(Line {
            message: cell(0).parse()?,
            channel: cell(1).to_owned(),
            address: cell(2).trim_start_matches('+').to_lowercase(),
            state: cell(3).parse()?,
            reason: reason.ok_or_else(|| fault("the export has an unknown reason"))?,
            account: cell(5).to_owned(),
            parts: cell(6).parse()?,
            parts_delivered: cell(7).parse()?,
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: RecipientState, reason: Reason, parts: u8) -> Line {
        let message = "01999999-0000-7000-8000-000000000000.0.0.0".parse().unwrap();
        let (channel, address) = ("sms".to_owned(), "84912345678".to_owned());
        Line { message, channel, address, state, reason, account: "a".to_owned(), parts, parts_delivered: 0 }
    }

    fn accepted(part: u8, parts: u8, text_hash: u64) -> LogLine {
        let (address, id) = ("84912345678".to_owned(), "1".to_owned());
        LogLine { unix_us: 1, connection: 1, address, part, parts, text_hash, id }
    }

    fn faults(line: Line, sink: Vec<LogLine>) -> Vec<String> {
        let sink =
            if sink.is_empty() { HashMap::new() } else { HashMap::from([(("sms", line.address.clone()), sink)]) };
        let page = Page {
            id: "c".to_owned(),
            lines: vec![line],
            ledger: report::CampaignLedger::default(),
            frozen: BTreeMap::new(),
        };
        Books { pages: vec![page], singles: Vec::new(), sink }.recipients()
    }

    #[test]
    fn every_difference_is_found() {
        use RecipientState as S;
        #[track_caller]
        fn check(state: S, reason: Reason, sink: &[(u8, u8, u64)], expected: &[&str]) {
            let parts = sink.first().map_or(1, |first| first.1);
            let sink = sink.iter().map(|&(part, parts, hash)| accepted(part, parts, hash)).collect();
            let found = faults(line(state, reason, parts), sink);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(found, part)| found.contains(part)), "{found:?}");
        }
        let none = Reason::None;
        check(S::Delivered, none, &[(1, 1, 7)], &[]);
        check(S::Delivered, none, &[(1, 2, 7), (2, 2, 8)], &[]);
        check(S::Delivered, none, &[(1, 2, 7)], &["lost"]);
        check(S::Delivered, none, &[], &["lost"]);
        check(S::Delivered, none, &[(1, 1, 7), (1, 1, 7)], &["repeated", "the sink has it"]);
        check(S::InDoubt, Reason::ClaimantGone, &[], &[]);
        check(S::InDoubt, Reason::ClaimantGone, &[(1, 1, 7)], &[]);
        check(S::InDoubt, Reason::ClaimantGone, &[(1, 1, 7), (1, 1, 7)], &["repeated", "the sink has it"]);
        check(S::Open, none, &[(1, 1, 7)], &["the sink has it"]);
        check(S::Cancelled, Reason::Cancelled, &[(1, 1, 7)], &["the sink has it"]);
        check(S::Skipped, Reason::Suppressed, &[], &[]);
        check(S::Undelivered, Reason::Receipt, &[], &["lost"]);
        check(S::Undelivered, Reason::Partial, &[(1, 2, 7)], &[]);
    }

    #[test]
    fn a_message_to_a_stranger_is_found() {
        let mut stranger = accepted(1, 1, 7);
        stranger.address = "84900000000".to_owned();
        let sink = HashMap::from([(("sms", stranger.address.clone()), vec![stranger])]);
        let books = Books { pages: Vec::new(), singles: Vec::new(), sink };
        assert_eq!(books.recipients().len(), 1);
    }
}
