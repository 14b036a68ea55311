//! The last look: may this message leave now?
//!
//! Must stay true: nothing of bulk or normal leaves unless control.v1 and blocks.v1 were known to their end at most 1.5 s
//! ago, and no bulk by a clock that differs from the database's by more than 5 s, neither ours nor the one that released it;
//! a block is decided by the function that decides releases.

use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Class, Lane};
use loa_domain::ids::CampaignId;
use loa_domain::limits::HAND_OVER_S;
use loa_domain::policy::{CampaignFacts, Consent, PersonFacts, Verdict, verdict};
use loa_domain::state::Returned;
use loa_runtime::clocks::STOP_US;
use loa_runtime::control::ControlView;
use tokio::sync::watch;

/// A bulk release may be handed over no longer than this from now: it is made for [`HAND_OVER_S`], by a clock that is right
/// within [`STOP_US`], as ours is. One that seems to have longer was made by a clock that has been set back since, perhaps
/// outside the hours.
const BULK_AHEAD_US: i64 = HAND_OVER_S * 1_000_000 + 2 * STOP_US;

/// What the look finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It may leave.
    Go,
    /// Not now; ask again.
    Hold,
    /// It goes back.
    Back(Returned),
}

/// The states of campaigns, as read of control.v1.
pub trait Stops: Send + Sync {
    /// A campaign's or notice's state.
    fn state(&self, campaign: CampaignId) -> Option<CampaignState>;
    /// When the campaign ends; 0 = not known.
    fn ends_at_us(&self, campaign: CampaignId) -> i64;
    /// Whether it is a notice, whose messages are single sends.
    fn is_notice(&self, campaign: CampaignId) -> bool;
    /// Whether what is known was complete at most 1.5 s ago.
    fn is_fresh(&self) -> bool;
    /// Changes whenever something became known.
    fn changed(&self) -> watch::Receiver<u64>;
}

impl Stops for ControlView {
    /// While the installation is held, whatever runs is paused.
    fn state(&self, campaign: CampaignId) -> Option<CampaignState> {
        let state = ControlView::state(self, campaign)?;
        Some(if state == CampaignState::Running && self.is_held() { CampaignState::Paused } else { state })
    }

    fn ends_at_us(&self, campaign: CampaignId) -> i64 {
        self.campaign(campaign).map_or(0, |control| control.ends_at_us)
    }

    fn is_notice(&self, campaign: CampaignId) -> bool {
        self.campaign(campaign).is_some_and(|control| control.notice)
    }

    fn is_fresh(&self) -> bool {
        ControlView::is_fresh(self)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        ControlView::changed(self)
    }
}

/// What all messages of a release share.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    /// Its lane.
    pub lane: Lane,
    /// Until when it may leave.
    pub hand_over_by_us: i64,
    /// The campaign's state, if it is known.
    pub state: Option<CampaignState>,
}

/// Whether what is known is enough for a lane: all but urgent needs fresh knowledge, bulk a right clock too.
pub fn knows_enough(lane: Lane, fresh: bool, clock_agrees: bool) -> bool {
    match lane {
        Lane::Urgent => true,
        Lane::Normal => fresh,
        Lane::Bulk => fresh && clock_agrees,
    }
}

/// Looks at the clock, the campaign and the age of what is known.
pub fn at_campaign(leaving: Leaving, now_us: i64, fresh: bool) -> Look {
    use CampaignState as S;
    match leaving.state {
        _ if now_us >= leaving.hand_over_by_us => Look::Back(Returned::Late),
        // While our own clock is wrong, it judges nobody's.
        _ if leaving.lane == Lane::Bulk && fresh && leaving.hand_over_by_us > now_us.saturating_add(BULK_AHEAD_US) => {
            Look::Back(Returned::Late)
        }
        Some(S::Cancelled) => Look::Back(Returned::Cancelled),
        Some(S::Paused | S::Halted) => Look::Back(Returned::Paused),
        Some(S::Done) => Look::Back(Returned::Late),
        // The release may have overtaken the record that says the campaign runs.
        None | Some(S::Draft | S::Freezing | S::Submitted | S::Approved | S::Scheduled) => Look::Hold,
        Some(S::Running) if fresh || leaving.lane == Lane::Urgent => Look::Go,
        Some(S::Running) => Look::Hold,
    }
}

/// Looks at a person: `blocked` if a block of the last hour covers this message.
pub fn at_person(class: Class, blocked: bool, now_us: i64) -> Look {
    if !blocked {
        return Look::Go;
    }
    let campaign = CampaignFacts { class, opens_at_us: None, ends_at_us: i64::MAX };
    let person = PersonFacts { suppressed: true, dnc: false, consent: Consent::Granted };
    match verdict(campaign, person, true, now_us) {
        Verdict::Allow => Look::Go,
        Verdict::Skip(_) | Verdict::Defer { .. } => Look::Back(Returned::Recheck),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CampaignState as S;

    #[test]
    fn looks_at_time_state_and_age() {
        #[track_caller]
        fn check(lane: Lane, state: Option<S>, now_us: i64, fresh: bool, expected: Look) {
            let leaving = Leaving { lane, hand_over_by_us: 100, state };
            assert_eq!(at_campaign(leaving, now_us, fresh), expected, "{lane} {state:?} {now_us} {fresh}");
        }
        check(Lane::Bulk, Some(S::Running), 99, true, Look::Go);
        check(Lane::Bulk, Some(S::Running), 100, true, Look::Back(Returned::Late));
        check(Lane::Bulk, Some(S::Running), 99, false, Look::Hold);
        check(Lane::Normal, Some(S::Running), 99, false, Look::Hold);
        check(Lane::Urgent, Some(S::Running), 99, false, Look::Go);
        check(Lane::Urgent, Some(S::Paused), 99, true, Look::Back(Returned::Paused));
        check(Lane::Bulk, Some(S::Halted), 99, false, Look::Back(Returned::Paused));
        check(Lane::Bulk, Some(S::Cancelled), 99, true, Look::Back(Returned::Cancelled));
        check(Lane::Bulk, Some(S::Done), 99, true, Look::Back(Returned::Late));
        check(Lane::Bulk, None, 99, true, Look::Hold);
        check(Lane::Bulk, None, 100, true, Look::Back(Returned::Late));
        check(Lane::Urgent, Some(S::Scheduled), 99, true, Look::Hold);
    }

    #[test]
    fn a_bulk_release_of_a_clock_ahead_goes_back() {
        #[track_caller]
        fn check(lane: Lane, left_s: i64, fresh: bool, expected: Look) {
            let leaving = Leaving { lane, hand_over_by_us: left_s * 1_000_000, state: Some(S::Running) };
            assert_eq!(at_campaign(leaving, 0, fresh), expected, "{lane} {left_s} {fresh}");
        }
        check(Lane::Bulk, 20, true, Look::Go);
        check(Lane::Bulk, 30, true, Look::Go); // both clocks as wrong as they may be
        check(Lane::Bulk, 31, true, Look::Back(Returned::Late));
        check(Lane::Bulk, 31, false, Look::Hold);
        check(Lane::Normal, 31, true, Look::Go);
        check(Lane::Urgent, 3_600, true, Look::Go);
    }

    #[test]
    fn a_wrong_clock_stops_bulk_alone() {
        for (fresh, agrees, expected) in [
            (true, true, [true, true, true]),
            (true, false, [true, true, false]),
            (false, true, [true, false, false]),
            (false, false, [true, false, false]),
        ] {
            let found = [Lane::Urgent, Lane::Normal, Lane::Bulk].map(|lane| knows_enough(lane, fresh, agrees));
            assert_eq!(found, expected, "fresh {fresh}, clock agrees {agrees}");
        }
    }

    #[test]
    fn only_running_campaigns_send() {
        for &state in S::ALL {
            for &lane in Lane::ALL {
                for fresh in [true, false] {
                    let leaving = Leaving { lane, hand_over_by_us: 100, state: Some(state) };
                    assert!(at_campaign(leaving, 0, fresh) != Look::Go || state.may_send(), "{state}");
                }
            }
        }
    }

    #[test]
    fn a_block_sends_the_message_back() {
        assert_eq!(at_person(Class::PublicInformation, false, 0), Look::Go);
        assert_eq!(at_person(Class::PublicInformation, true, 0), Look::Back(Returned::Recheck));
        assert_eq!(at_person(Class::Emergency, true, 0), Look::Go, "an emergency reaches everybody");
    }
}
