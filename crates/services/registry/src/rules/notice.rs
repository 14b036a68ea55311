//! What a notice may look like: what single sends name instead of bringing their own words.

use loa_contract::pb::registry::v1::Notice;
use loa_runtime::rpc::Violations;

use super::campaign::{Facts, check_lane, class, template_channel};
use super::field;
use super::sender::{self, Sender};

/// Messages a day, at most.
const DAILY_MAX: u32 = 10_000_000;

/// Checks everything an author writes.
pub(crate) fn check(notice: &Notice, facts: &Facts, faults: &mut Violations) {
    field::line("notice.title", &notice.title, 1..=200, faults);
    let class = class("notice.class", notice.class, faults);
    check_lane("notice.lane", notice.lane, class, faults);
    if !facts.units.contains(&notice.unit_code) {
        faults.add("notice.unit_code", "a unit that is valid today; ListUnits shows them, PutUnit adds one");
    }
    if !(1..=DAILY_MAX).contains(&notice.daily_ceiling) {
        faults.add("notice.daily_ceiling", format!("1 to {DAILY_MAX} messages a day"));
    }
    let channel = template_channel("notice.", &notice.template, notice.template_version, facts, faults);
    if let Some(channel) = channel {
        let sender = Sender { path: "notice.", sender: &notice.sender, sender_name: &notice.sender_name };
        sender::check(&sender, channel, class, faults);
    }
}
