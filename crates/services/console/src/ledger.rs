//! A ledger as a page shows it: a bar of its states, a table, reasons, and whether it adds up.
//!
//! Must stay true: the numbers shown are those of the ledger, none is computed from another but the shares; the widths of
//! a bar add up to the whole bar.

use std::collections::HashMap;

use loa_contract::pb::report::v1 as report;
use loa_domain::channel::Channel;
use loa_domain::state::RecipientState;

use crate::lang::Lang;
use crate::words;

/// Units of a whole bar.
pub(crate) const BAR: u64 = 10_000;

/// The states in the order of a bar: what is certain first, what waits last.
const ORDER: [RecipientState; 10] = [
    RecipientState::Delivered,
    RecipientState::Submitted,
    RecipientState::InDoubt,
    RecipientState::Undelivered,
    RecipientState::Rejected,
    RecipientState::Expired,
    RecipientState::Unknown,
    RecipientState::Skipped,
    RecipientState::Cancelled,
    RecipientState::Open,
];

/// One state of a variant.
pub(crate) struct State {
    /// The name that the style sheet colours.
    pub(crate) name: &'static str,
    pub(crate) word: &'static str,
    pub(crate) count: String,
    pub(crate) share: String,
    /// Where its part of the bar begins, and how wide it is.
    pub(crate) x: u64,
    pub(crate) width: u64,
    pub(crate) none: bool,
}

/// One variant.
pub(crate) struct Variant {
    pub(crate) channel: &'static str,
    pub(crate) frozen: String,
    /// The share that nobody waits for any more.
    pub(crate) handled: String,
    pub(crate) delivered: String,
    pub(crate) parts: Option<String>,
    pub(crate) states: Vec<State>,
    pub(crate) reasons: Vec<(String, String)>,
    pub(crate) repeated: Option<String>,
    pub(crate) late_bounce: Option<String>,
    pub(crate) adds_up: bool,
}

/// A campaign's ledger.
pub(crate) struct View {
    pub(crate) state: String,
    pub(crate) word: String,
    pub(crate) colour: &'static str,
    pub(crate) as_of: String,
    pub(crate) complete: bool,
    pub(crate) variants: Vec<Variant>,
}

impl View {
    pub(crate) fn new(lang: Lang, ledger: &report::CampaignLedger) -> Self {
        let (word, colour) = words::campaign(lang, &ledger.state);
        Self {
            state: ledger.state.clone(),
            word,
            colour,
            as_of: lang.time(ledger.as_of.as_ref()),
            complete: ledger.complete,
            variants: ledger.variants.iter().map(|one| variant(lang, one)).collect(),
        }
    }
}

fn variant(lang: Lang, ledger: &report::Ledger) -> Variant {
    let some = |count: u64| (count > 0).then(|| lang.number(count));
    Variant {
        channel: words::channel(ledger.channel),
        frozen: lang.number(ledger.frozen),
        handled: lang.percent(ledger.frozen.saturating_sub(ledger.open), ledger.frozen),
        delivered: lang.number(ledger.delivered),
        parts: some(ledger.parts).filter(|_| Channel::from_code(ledger.channel) == Some(Channel::Sms)),
        states: states(lang, ledger),
        reasons: reasons(lang, &ledger.reasons),
        repeated: some(ledger.repeated),
        late_bounce: some(ledger.late_bounce),
        adds_up: ledger.adds_up,
    }
}

fn states(lang: Lang, ledger: &report::Ledger) -> Vec<State> {
    let mut before = 0_u64;
    let place = |count: u64| {
        u64::try_from(u128::from(count) * u128::from(BAR) / u128::from(ledger.frozen.max(1))).unwrap_or(BAR)
    };
    let state = |state: RecipientState| {
        let count = count(ledger, state);
        let x = place(before);
        before = before.saturating_add(count);
        State {
            name: state.name(),
            word: words::recipient(lang, state),
            count: lang.number(count),
            share: lang.percent(count, ledger.frozen),
            x,
            width: place(before) - x,
            none: count == 0,
        }
    };
    ORDER.into_iter().map(state).collect()
}

fn count(ledger: &report::Ledger, state: RecipientState) -> u64 {
    match state {
        RecipientState::Open => ledger.open,
        RecipientState::InDoubt => ledger.in_doubt,
        RecipientState::Submitted => ledger.submitted,
        RecipientState::Delivered => ledger.delivered,
        RecipientState::Undelivered => ledger.undelivered,
        RecipientState::Expired => ledger.expired,
        RecipientState::Rejected => ledger.rejected,
        RecipientState::Unknown => ledger.unknown,
        RecipientState::Skipped => ledger.skipped,
        RecipientState::Cancelled => ledger.cancelled,
    }
}

/// Counts by reason in words, the largest first.
pub(crate) fn reasons(lang: Lang, reasons: &HashMap<String, u64>) -> Vec<(String, String)> {
    let mut sorted: Vec<_> = reasons.iter().filter(|(_, count)| **count > 0).collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    sorted.into_iter().map(|(name, &count)| (words::reason(lang, name), lang.number(count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_whole_and_in_order() {
        let ledger = report::Ledger {
            channel: 1,
            frozen: 3,
            delivered: 1,
            open: 1,
            rejected: 1,
            adds_up: true,
            ..Default::default()
        };
        let view = variant(Lang::En, &ledger);
        let shown: Vec<_> =
            view.states.iter().filter(|state| !state.none).map(|state| (state.name, state.x, state.width)).collect();
        assert_eq!(shown, [("delivered", 0, 3_333), ("rejected", 3_333, 3_333), ("open", 6_666, 3_334)]);
        assert_eq!((view.handled.as_str(), view.states.len()), ("66.6 %", ORDER.len()));
        assert_eq!(ORDER.len(), RecipientState::ALL.len());
    }

    #[test]
    fn an_empty_and_a_wrong_ledger_are_shown_too() {
        let empty = variant(Lang::Vi, &report::Ledger::default());
        assert!(empty.states.iter().all(|state| state.width == 0));
        let wrong =
            variant(Lang::Vi, &report::Ledger { frozen: 1, delivered: u64::MAX, open: 9, ..Default::default() });
        assert!(!wrong.adds_up);
        assert_eq!(wrong.handled, "0,0 %");
    }

    #[test]
    fn reasons_come_in_words_the_largest_first() {
        let given = [("NO_ROUTE", 2), ("CAP_DAY", 0), ("SUPPRESSED", 1_000), ("from_a_newer_version", 2)];
        let given = given.map(|(name, count)| (name.to_owned(), count)).into();
        let expected =
            [("on the suppression list", "1,000"), ("no carrier takes it", "2"), ("from_a_newer_version", "2")];
        assert_eq!(reasons(Lang::En, &given), expected.map(|(word, count)| (word.to_owned(), count.to_owned())));
    }
}
