//! A campaign or notice as dispatch needs it, and whether it may release now.
//!
//! Must stay true: only a running campaign within its hours releases; one that is cancelled, done or past its end decides
//! everything that is not under way, whatever else it waits for.

use std::collections::BTreeMap;

use loa_contract::convert::{self, BadRecord};
use loa_contract::pb::event::v1 as event;
use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Channel, Class, Lane};
use loa_domain::hash::HashKey;
use loa_domain::hours::{ClassHours, DailyWindow};
use loa_domain::ids::{CampaignId, FreezeId};
use loa_domain::policy::{CampaignFacts, Consent, PersonFacts, Scope, Verdict, verdict};
use loa_domain::state::{Reason, RecipientState};

use super::{Rules, SECOND_US};

/// Nothing is released so close before the hours end: a hand-over needs some time.
pub(crate) const WINDOW_MARGIN_US: i64 = 5 * SECOND_US;
/// A release whose hand-over would have to happen sooner than this is left for the next window.
const HAND_OVER_LEAST_US: i64 = SECOND_US;

/// One campaign or notice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Campaign {
    pub(crate) id: CampaignId,
    pub(crate) state: CampaignState,
    /// `None`: single sends, whose chunks are freezes of their own.
    pub(crate) freeze: Option<FreezeId>,
    pub(crate) unit: String,
    pub(crate) class: Class,
    pub(crate) lane: Lane,
    pub(crate) topic: String,
    pub(crate) ends_at_us: i64,
    pub(crate) variants: BTreeMap<u16, Variant>,
    pub(crate) synthetic: bool,
    pub(crate) resend_in_doubt: bool,
    pub(crate) daily_ceiling: u32,
    /// It was running at some time: there is a ledger to close.
    pub(crate) started: bool,
    /// Its hours; `None` if the class's and its own have none in common.
    pub(crate) window: Option<DailyWindow>,
    /// Every suppression scope that covers its messages.
    pub(crate) scopes: Vec<Scope>,
}

/// One text of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) channel: Channel,
    pub(crate) content_hash: Vec<u8>,
    pub(crate) sender: String,
    pub(crate) sender_name: String,
}

/// Whether a campaign may release now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may, until its hours close.
    Open {
        /// When its hours close.
        closes_at_us: Option<i64>,
        /// What happens to who is on the suppression list; `None`: the message reaches everybody.
        suppressed: Option<Reason>,
    },
    /// The cursor stands still.
    Still,
    /// Everything not under way is decided so.
    Over(RecipientState, Reason),
}

impl Campaign {
    /// Reads a control record.
    pub(crate) fn read(control: &event::CampaignControl, rules: &Rules, key: &HashKey) -> Result<Self, BadRecord> {
        let state = i32::try_from(control.state).ok().and_then(CampaignState::from_code);
        let state = state.ok_or_else(|| BadRecord::new("state", control.state))?;
        let class = convert::class(control.class)?;
        let variants = control.variants.iter().map(read_variant).collect::<Result<BTreeMap<_, _>, _>>()?;
        let freeze =
            (!control.notice && !control.freeze_id.is_empty()).then(|| FreezeId::from_bytes(&control.freeze_id));
        let freeze = freeze.transpose().map_err(|error| BadRecord::new("freeze_id", error))?;
        let running = matches!(state, CampaignState::Running | CampaignState::Paused | CampaignState::Halted);
        Ok(Self {
            id: convert::campaign_id(&control.campaign_id)?,
            state,
            freeze,
            unit: control.unit_id.clone(),
            class,
            lane: convert::lane(control.lane)?,
            topic: control.topic.clone(),
            ends_at_us: if control.ends_at_us > 0 { control.ends_at_us } else { i64::MAX },
            variants,
            synthetic: control.synthetic,
            resend_in_doubt: control.resend_in_doubt,
            daily_ceiling: control.daily_ceiling,
            started: running || (state.is_over() && control.started_at_us > 0) || control.notice,
            window: window(class, control, rules)?,
            scopes: Scope::covering(key, &control.unit_id, class, &control.topic),
        })
    }

    /// Whether single sends name it.
    pub(crate) fn is_notice(&self) -> bool {
        self.freeze.is_none()
    }

    /// Whether it may release now.
    pub(crate) fn gate(&self, rules: &Rules, now_us: i64) -> Gate {
        let end = Gate::Over(RecipientState::Skipped, Reason::Expired);
        match self.state {
            _ if !self.started => Gate::Still,
            CampaignState::Cancelled => Gate::Over(RecipientState::Cancelled, Reason::Cancelled),
            CampaignState::Done => end,
            // At its end nothing can be sent any more, even if somebody would let it go on.
            _ if now_us >= self.ends_at_us => end,
            CampaignState::Running => self.gate_of_policy(rules, now_us),
            CampaignState::Paused | CampaignState::Halted => Gate::Still,
            CampaignState::Draft
            | CampaignState::Freezing
            | CampaignState::Submitted
            | CampaignState::Approved
            | CampaignState::Scheduled => Gate::Still,
        }
    }

    fn gate_of_policy(&self, rules: &Rules, now_us: i64) -> Gate {
        let (opens_at_us, closes_at_us) = self.hours(now_us);
        let facts = CampaignFacts { class: self.class, opens_at_us, ends_at_us: self.ends_at_us };
        // Register and consent were decided at freeze; what changes afterwards comes as a suppression entry.
        let person = |suppressed| PersonFacts { suppressed, dnc: false, consent: Consent::Granted };
        let decide = |suppressed| verdict(facts, person(suppressed), rules.respect_dnc_for_public, now_us);
        match decide(false) {
            Verdict::Skip(reason) => Gate::Over(RecipientState::Skipped, reason),
            Verdict::Defer { .. } => Gate::Still,
            Verdict::Allow => {
                let suppressed = if let Verdict::Skip(reason) = decide(true) { Some(reason) } else { None };
                Gate::Open { closes_at_us, suppressed }
            }
        }
    }

    /// When the hours open next, if they are closed, and when they close, if they do.
    fn hours(&self, now_us: i64) -> (Option<i64>, Option<i64>) {
        let Some(window) = self.window else { return (Some(i64::MAX), None) };
        let Some(closes_at_us) = window.closes_at(now_us) else { return (None, None) };
        if !window.is_open(now_us) {
            return (Some(window.next_open(now_us)), Some(closes_at_us));
        }
        let too_late = closes_at_us - WINDOW_MARGIN_US - HAND_OVER_LEAST_US <= now_us;
        (too_late.then(|| window.next_open(closes_at_us)), Some(closes_at_us))
    }

    /// When to look at the gate again, if nothing else happens.
    pub(crate) fn gate_changes_at_us(&self, now_us: i64) -> Option<i64> {
        if self.state.is_over() || !self.started || now_us >= self.ends_at_us {
            return None;
        }
        let (opens_at_us, closes_at_us) = self.hours(now_us);
        let closes = closes_at_us.map(|at| at - WINDOW_MARGIN_US - HAND_OVER_LEAST_US);
        let of_hours = if self.state == CampaignState::Running { opens_at_us.or(closes) } else { None };
        let next = of_hours.unwrap_or(i64::MAX).min(self.ends_at_us);
        (next < i64::MAX).then_some(next)
    }
}

fn read_variant(frozen: &event::FrozenVariant) -> Result<(u16, Variant), BadRecord> {
    let number = u16::try_from(frozen.variant).map_err(|error| BadRecord::new("variants.variant", error))?;
    let variant = Variant {
        channel: convert::channel(frozen.channel)?,
        content_hash: frozen.content_hash.clone(),
        sender: frozen.sender.clone(),
        sender_name: frozen.sender_name.clone(),
    };
    Ok((number, variant))
}

/// The campaign's own hours narrow those of its class, unless an override stands for the law (demonstrations).
fn window(class: Class, control: &event::CampaignControl, rules: &Rules) -> Result<Option<DailyWindow>, BadRecord> {
    let of_class = rules.hours_override.unwrap_or_else(|| ClassHours::default_of(class).window);
    if control.open_minute == 0 && control.close_minute == 0 {
        return Ok(Some(of_class));
    }
    let minute = |field, minute: u32| u16::try_from(minute).map_err(|error| BadRecord::new(field, error));
    let own =
        DailyWindow::new(minute("open_minute", control.open_minute)?, minute("close_minute", control.close_minute)?);
    let own = own.ok_or_else(|| BadRecord::new("close_minute", "the hours must end after they begin, by 24:00"))?;
    Ok(if rules.hours_override.is_some() { Some(of_class) } else { of_class.within(own) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_US: i64 = 1_763_960_400 * SECOND_US; // 2025-11-24 12:00 in Viet Nam
    const HOUR_US: i64 = 3_600 * SECOND_US;

    fn control(class: Class, state: CampaignState) -> event::CampaignControl {
        event::CampaignControl {
            campaign_id: vec![1; 16],
            state: u32::from(state.code()),
            freeze_id: vec![2; 16],
            class: i32::from(class.code()),
            lane: i32::from(Lane::Bulk.code()),
            ends_at_us: NOON_US + 48 * HOUR_US,
            ..Default::default()
        }
    }

    fn read(control: &event::CampaignControl) -> Campaign {
        Campaign::read(control, &Rules::default(), &HashKey::new([1; 16])).unwrap()
    }

    #[test]
    fn the_gate_follows_state_hours_and_end() {
        use CampaignState as S;
        #[track_caller]
        fn check(class: Class, state: CampaignState, at_us: i64, expected: Gate) {
            assert_eq!(read(&control(class, state)).gate(&Rules::default(), at_us), expected, "{class} {state}");
        }
        let until = |hours: i64| Gate::Open {
            closes_at_us: Some(NOON_US + hours * HOUR_US),
            suppressed: Some(Reason::Suppressed),
        };
        let expired = Gate::Over(RecipientState::Skipped, Reason::Expired);
        check(Class::Advertising, S::Running, NOON_US, until(10));
        check(Class::PublicInformation, S::Running, NOON_US, until(9));
        check(
            Class::Emergency,
            S::Running,
            NOON_US + 12 * HOUR_US,
            Gate::Open { closes_at_us: None, suppressed: None },
        );
        check(Class::Advertising, S::Running, NOON_US + 12 * HOUR_US, Gate::Still); // midnight
        check(Class::Advertising, S::Running, NOON_US + 10 * HOUR_US - 6 * SECOND_US, Gate::Still); // a hand-over would be late
        check(Class::Advertising, S::Paused, NOON_US, Gate::Still);
        check(Class::Advertising, S::Halted, NOON_US, Gate::Still);
        check(Class::Advertising, S::Approved, NOON_US, Gate::Still);
        check(Class::Advertising, S::Paused, NOON_US + 48 * HOUR_US, expired); // a pause does not outlast the end
        check(Class::Advertising, S::Cancelled, NOON_US, Gate::Still); // never started: there is nothing to close
        let short =
            event::CampaignControl { ends_at_us: NOON_US + 18 * HOUR_US, ..control(Class::Advertising, S::Running) };
        assert_eq!(
            read(&short).gate(&Rules::default(), NOON_US + 12 * HOUR_US),
            expired,
            "it would open after its end"
        );
    }

    #[test]
    fn what_was_started_is_closed() {
        #[track_caller]
        fn check(state: CampaignState, expected: Gate) {
            let control = event::CampaignControl { started_at_us: 1, ..control(Class::Personal, state) };
            assert_eq!(read(&control).gate(&Rules::default(), NOON_US), expected);
        }
        check(CampaignState::Cancelled, Gate::Over(RecipientState::Cancelled, Reason::Cancelled));
        check(CampaignState::Done, Gate::Over(RecipientState::Skipped, Reason::Expired));
    }

    #[test]
    fn looks_again_when_the_hours_change() {
        let campaign = read(&control(Class::Advertising, CampaignState::Running));
        assert_eq!(campaign.gate_changes_at_us(NOON_US), Some(NOON_US + 10 * HOUR_US - 6 * SECOND_US));
        assert_eq!(campaign.gate_changes_at_us(NOON_US + 12 * HOUR_US), Some(NOON_US + 19 * HOUR_US));
        let paused = read(&control(Class::Advertising, CampaignState::Paused));
        assert_eq!(paused.gate_changes_at_us(NOON_US), Some(NOON_US + 48 * HOUR_US));
    }

    #[test]
    fn own_hours_narrow_those_of_the_class() {
        let own = event::CampaignControl {
            open_minute: 360,
            close_minute: 600,
            ..control(Class::Advertising, CampaignState::Running)
        };
        assert_eq!(read(&own).window, DailyWindow::new(420, 600));
        let none = event::CampaignControl { open_minute: 0, close_minute: 300, ..own.clone() };
        assert_eq!(read(&none).window, None);
        assert_eq!(read(&none).gate(&Rules::default(), NOON_US), Gate::Over(RecipientState::Skipped, Reason::Expired));
        let rules = Rules { hours_override: Some(DailyWindow::ALWAYS), ..Rules::default() };
        assert_eq!(Campaign::read(&own, &rules, &HashKey::new([1; 16])).unwrap().window, Some(DailyWindow::ALWAYS));
        let bad = event::CampaignControl { open_minute: 600, close_minute: 300, ..own };
        assert_eq!(Campaign::read(&bad, &Rules::default(), &HashKey::new([1; 16])).unwrap_err().field, "close_minute");
    }
}
