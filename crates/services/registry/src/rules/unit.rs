//! What a unit (an organisation) may look like.

use loa_contract::pb::registry::v1::Unit;
use loa_runtime::rpc::Violations;

use super::field;

/// Kinds of organisations.
const KINDS: [&str; 8] = ["ubnd_tinh", "so", "ubnd_huyen", "ubnd_xa", "telecom", "press", "station", "other"];

/// Checks a unit.
pub(crate) fn check(unit: &Unit, faults: &mut Violations) {
    field::code("unit.code", &unit.code, 1..=40, faults);
    field::line("unit.name", &unit.name, 1..=200, faults);
    if !KINDS.contains(&unit.kind.as_str()) {
        faults.add("unit.kind", format!("one of {}", KINDS.join(", ")));
    }
    field::code("unit.parent_code", &unit.parent_code, 0..=40, faults);
    field::code("unit.successor_code", &unit.successor_code, 0..=40, faults);
    for (name, other) in [("unit.parent_code", &unit.parent_code), ("unit.successor_code", &unit.successor_code)] {
        if !other.is_empty() && *other == unit.code {
            faults.add(name, "another unit than itself");
        }
    }
    let from = field::time("unit.valid_from", unit.valid_from.as_ref(), faults);
    let to = field::optional_time("unit.valid_to", unit.valid_to.as_ref(), faults);
    if from.zip(to).is_some_and(|(from, to)| to <= from) {
        faults.add("unit.valid_to", "later than unit.valid_from, or absent while the unit is valid");
    }
}
