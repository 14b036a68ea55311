//! What the text form means, that it is canonical, and what its errors look like.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::limits::{RULE_DEPTH_MAX, RULE_NODES_MAX};

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn reads_into_one_canonical_text() {
    #[track_caller]
    fn check(text: &str, canonical: &str) {
        assert_eq!(rule(text).to_string(), canonical, "{text}");
        assert_eq!(rule(canonical), rule(text), "{text}");
    }

    check(
        "commune in district(\"Ba Tri\") and age in 18..60 and has mobile",
        "commune in district(\"836\") and age in 18..59 and has mobile",
    );
    // the ten segments of the plan, as far as a file can answer them
    check("service = mobile and province = 83", "service = mobile and commune in province(\"83\")");
    check("service = ftth AND district = “Ba Tri”", "service = ftth and commune in district(\"836\")");
    check("age in (60-69, 70+) and not smartphone", "age in 60.. and not smartphone = yes");
    check("age in 18..34 and smartphone and sample 5%", "age in 18..34 and smartphone = yes and sample 5%");
    check("tags contains any(dua, tom)", "tags contains any(\"dua\", \"tom\")");
    check("customer_kind in (household_business, 'cooperative')", "customer_kind in (household_business, cooperative)");
    check("language = km", "language = km");
    check("tags contains \"can_bo\" and has email", "tags contains any(\"can_bo\") and has email");
    check(
        "commune in (\"29182\", \"Thạnh Phong\") and district in (835, 836, 837)",
        "commune in (\"29182\", \"29227\") and commune in district(\"835\", \"836\", \"837\")",
    );
    // spellings
    check("commune = \"An Hội\"", "commune in (\"28777\")");
    check("commune != 28777", "not commune in (\"28777\")");
    check("service not in (tv, tv, leased)", "not service in (tv, leased)");
    check("payment = \"Postpaid\"", "payment = postpaid");
    check("consent_ads != granted", "not consent_ads = granted");
    check("smartphone != no", "not smartphone = no");
    check("smartphone = TRUE", "smartphone = yes");
    check("age >= 60", "age in 60..");
    check("age > 59", "age in 60..");
    check("age < 18", "age in 0..17");
    check("age <= 17", "age in 0..17");
    check("age in (\"<16\", 70+)", "age in (\"<16\", \"70+\")");
    check("age not in 18..60", "not age in 18..59");
    check("tags contains all (\"a \\\"b\\\"\", d, 7)", "tags contains all(\"a \\\"b\\\"\", \"d\", \"7\")");
    check("sample 0.25%", "sample 0.25%");
    check("sample 100%", "sample 100%");
    check("sample 2.50%", "sample 2.5%");
    // how it binds
    check("has mobile or has fixed and has email", "has mobile or has fixed and has email");
    check("(has mobile or has fixed) and has email", "(has mobile or has fixed) and has email");
    check("((has mobile)) and (has fixed and has email)", "has mobile and has fixed and has email");
    check("not (has mobile or has fixed)", "not (has mobile or has fixed)");
    check("not not has mobile", "not not has mobile");
    check("not has mobile and has email", "not has mobile and has email");
}

#[test]
fn an_error_points_at_its_place() {
    #[track_caller]
    fn check(text: &str, error: &[&str]) {
        assert_eq!(Rule::parse(text).expect_err(text).to_string().lines().collect::<Vec<_>>(), error);
    }

    check(
        "commune in district(\"Ba Tre\") and has mobile",
        &[
            "line 1, column 21: there is no district `Ba Tre`; did you mean `Ba Tri`?",
            "  commune in district(\"Ba Tre\") and has mobile",
            "                      ^^^^^^^^",
        ],
    );
    check(
        "has mobile\nand servce = mobile",
        &[
            "line 2, column 5: `servce` is no condition; did you mean `service`?; allowed here: has, commune, district, \
             province, age, service, payment, customer_kind, language, smartphone, consent_ads, tags, sample, not",
            "  and servce = mobile",
            "      ^^^^^^",
        ],
    );
    check(
        "đi = 1",
        &[
            "line 1, column 1: `đi` is no condition; allowed here: has, commune, district, province, age, service, payment, \
             customer_kind, language, smartphone, consent_ads, tags, sample, not",
            "  đi = 1",
            "  ^^",
        ],
    );
    check(
        "commune = \"Phú Tân\"",
        &[
            "line 1, column 11: `Phú Tân` names more than one commune; use a code; allowed here: 28858 Phường Phú Tân (since \
             2025-07-01), 28757 Phường Phú Tân (until 2025-07-01)",
            "  commune = \"Phú Tân\"",
            "            ^^^^^^^^^",
        ],
    );
    check(
        "(has mobile or has email",
        &[
            "line 1, column 25: the `(` of line 1, column 1 is not closed here, found the end; allowed here: and, or, )",
            "  (has mobile or has email",
            "                          ^",
        ],
    );
}

#[test]
fn an_error_says_what_is_allowed() {
    #[track_caller]
    fn check(text: &str, column: usize, says: &str) {
        let error = Rule::parse(text).expect_err(text);
        assert_eq!(error.place.column, column, "{error}");
        assert!(error.summary().contains(says), "{error}");
    }

    check("", 1, "here stands a condition, found the end");
    check("   ", 4, "found the end");
    check("has", 4, "here stands a kind of address, found the end; allowed here: mobile, fixed, email");
    check("has emial", 5, "`emial` is no kind of address; did you mean `email`?");
    check("has mobile an has email", 12, "found `an`; did you mean `and`?; allowed here: and, or, the end");
    check("has mobile)", 11, "found `)`");
    check("has mobile and", 15, "here stands a condition, found the end");
    check("and has mobile", 1, "`and` is no condition");
    check("service > mobile", 9, "allowed here: =, !=, in, not in");
    check("service = mobil", 11, "`mobil` is no value of this column; did you mean `mobile`?");
    check("service in mobile", 12, "here stands a list in parentheses, found `mobile`");
    check("service in ()", 13, "here stands a value of this column, found `)`");
    check("service in (mobile ftth)", 20, "allowed here: ,, )");
    check("service in (mobile,", 20, "found the end");
    check("phone = 1", 1, "did you mean `has mobile`?");
    check("area in district(836)", 1, "did you mean `commune`?");
    check("slots.ten = Lan", 6, "`.` does not belong in a rule");
    check("slots = Lan", 1, "slot values are for texts and select nobody");
    check("commune in distrct(836)", 12, "did you mean `district`?");
    check("commune in district(999)", 21, "there is no district `999`");
    check("commune in (\"an hoi\")", 13, "did you mean `An Hội`?");
    check("commune in (99999)", 13, "there is no commune `99999`");
    check("district = \"Ba Tri", 12, "a quote is opened here and not closed on its line");
    check("district = \"Ba Tri\\", 12, "a quote is opened here");
    check("district = Ba Tri", 12, "there is no district `Ba` (a name of several words stands in quotes)");
    check("age = 30", 7, "`30` is no age band; allowed here: <16, 16-17");
    check("age in 20..23", 8, "no age band of the file lies wholly inside");
    check("age in 40..30", 8, "no age band");
    check("age < 0", 5, "no age band");
    check("age in 60..99", 8, "the file's last band is `70+` and has no end");
    check("age in 18", 10, "here stands a range such as `18..60`, found the end");
    check("age in 1e3", 9, "found `e3`");
    check("age in 4000..", 8, "here stands an age");
    check("age in old", 8, "here stands an age, found `old`");
    check("sample 0%", 8, "`0` is no part of all people");
    check("sample 101%", 8, "`101` is no part of all people");
    check("sample 0.001%", 8, "`0.001` is no part of all people");
    check("sample 5", 9, "after the number stands `%`");
    check("sample all", 8, "here stands a part of all people such as `5%`, found `all`");
    check("tags = dua", 6, "after `tags` stands `contains`");
    check("tags contains any()", 19, "here stands a tag, found `)`");
    check("tags contains \"\"", 15, "is no tag");
    check(&format!("tags contains {}", "a".repeat(33)), 15, "it has 1 to 32 characters");
    check("smartphone = maybe", 14, "allowed here: yes, no");
    check("has mobile; drop", 11, "`;` does not belong in a rule");
    check("has mobile\u{0}", 11, "does not belong in a rule");
}

#[test]
fn every_limit_refuses_at_its_place() {
    #[track_caller]
    fn check(text: &str, column: usize, says: &str) {
        let error = Rule::parse(text).expect_err("over a limit");
        assert_eq!((error.place.column, error.problem.contains(says)), (column, true), "{error}");
    }

    let nested = |levels: usize| format!("{}has mobile{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(rule(&nested(RULE_DEPTH_MAX)), rule("has mobile"));
    check(&nested(RULE_DEPTH_MAX + 1), 17, "nested deeper than 16");
    check(&"(".repeat(60_000), 17, "nested deeper than 16");
    check(&"not ".repeat(16_000), 65, "nested deeper than 16");
    assert_eq!(rule(&format!("{}has mobile", "not ".repeat(15))).depth(), RULE_DEPTH_MAX);
    check(&format!("{}has mobile", "not ".repeat(16)), 1, "17 levels deep");

    let many = |count: usize| vec!["has mobile"; count].join(" or ");
    assert_eq!(rule(&many(RULE_NODES_MAX - 1)).nodes(), RULE_NODES_MAX);
    check(&many(RULE_NODES_MAX), 1 + (RULE_NODES_MAX - 1) * 14, "more than 256 conditions");

    let tags = |count: usize| {
        format!("tags contains any({})", (0..count).map(|tag| tag.to_string()).collect::<Vec<_>>().join(","))
    };
    assert!(Rule::parse(&tags(RULE_LIST_MAX)).is_ok());
    check(&tags(RULE_LIST_MAX + 1), 19 + 2 * 10 + 3 * 90 + 4 * 900, "more than 1000 values");
    check(&" ".repeat(RULE_BYTES_MAX + 1), 1, "65537 bytes");
}

#[test]
fn an_area_is_its_communes() {
    let communes = |text: &str| match rule(text) {
        Rule::Leaf(Leaf::Area(area)) => area.communes().iter().map(CommuneCode::to_string).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    assert_eq!(communes("district = \"Chợ Lách\""), ["28870", "28879", "28894"]);
    assert_eq!(communes("district = 829").len(), 14, "a code that has two names counts once");
    assert_eq!(communes("province = 83"), communes("province = \"Vĩnh Long\""));
    assert_eq!(communes("province = 83").len(), 58);
}

#[test]
fn a_sample_is_a_share_and_larger_ones_contain_smaller() {
    let sample = |hundredths| Sample::new(hundredths).unwrap();
    // spread over all 64 bits like a keyed hash
    let hashes: Vec<u64> = (1..=100_000u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31)).collect();
    let chosen = hashes.iter().filter(|hash| sample(500).selects(**hash)).count();
    assert!((4_500..=5_500).contains(&chosen), "{chosen}");
    assert!(hashes.iter().all(|hash| !sample(500).selects(*hash) || sample(1_000).selects(*hash)));
    assert!(hashes.iter().chain([&0, &u64::MAX]).all(|hash| sample(Sample::WHOLE).selects(*hash)));
    assert_eq!(Sample::new(0), None);
    assert_eq!(Sample::new(10_001), None);
}

#[test]
fn knows_the_columns_it_reads() {
    let columns: Vec<&str> = rule("has email and not (age in 60.. or sample 5%) and district = 836")
        .columns()
        .into_iter()
        .map(Column::name)
        .collect();
    assert_eq!(columns, ["email", "commune_code", "age_band"]);
}

fn some<T: Copy + PartialEq + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    proptest::sample::subsequence(all, 1..=all.len())
}

fn area() -> impl Strategy<Value = Area> {
    let communes: Vec<CommuneCode> =
        admin::communes().iter().map(|unit| unit.code).collect::<BTreeSet<_>>().into_iter().collect();
    let districts: Vec<DistrictCode> = admin::districts().iter().map(|unit| unit.code).collect();
    let provinces: Vec<ProvinceCode> = admin::provinces().iter().map(|unit| unit.code).collect();
    prop_oneof![
        proptest::sample::subsequence(communes, 1..=10).prop_map(Area::Communes),
        proptest::sample::subsequence(districts, 1..=9).prop_map(Area::Districts),
        proptest::sample::subsequence(provinces, 1..=2).prop_map(Area::Provinces),
    ]
}

fn leaf() -> impl Strategy<Value = Leaf> {
    prop_oneof![
        select(Contact::ALL).prop_map(Leaf::Has),
        some(Service::ALL).prop_map(Leaf::Service),
        some(Payment::ALL).prop_map(Leaf::Payment),
        some(CustomerKind::ALL).prop_map(Leaf::CustomerKind),
        some(Language::ALL).prop_map(Leaf::Language),
        some(Consent::ALL).prop_map(Leaf::ConsentAds),
        some(AgeBand::ALL).prop_map(|bands| Leaf::Age(bands.into_iter().collect())),
        any::<bool>().prop_map(Leaf::Smartphone),
        area().prop_map(Leaf::Area),
        (select(Quantifier::ALL), proptest::collection::btree_set("[a-zđ\"“\\\\'_]{1,8}", 1..4))
            .prop_map(|(quantifier, tags)| Leaf::Tags(quantifier, tags.into_iter().map(Into::into).collect())),
        (1..=Sample::WHOLE).prop_map(|hundredths| Leaf::Sample(Sample::new(hundredths).unwrap())),
    ]
}

/// Rules as the parser makes them: groups of at least two, none inside its own kind.
fn any_rule() -> impl Strategy<Value = Rule> {
    leaf().prop_map(Rule::Leaf).prop_recursive(5, 60, 4, |inner| {
        let not_all = inner.clone().prop_filter("no group in its kind", |rule| !matches!(rule, Rule::All(_)));
        let not_any = inner.clone().prop_filter("no group in its kind", |rule| !matches!(rule, Rule::Any(_)));
        prop_oneof![
            vec(not_all, 2..4).prop_map(Rule::All),
            vec(not_any, 2..4).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::Not(Box::new(rule))),
        ]
    })
}

proptest! {
    /// The canonical text means the rule it was made of.
    #[test]
    fn canonical_text_parses_back(rule in any_rule()) {
        prop_assume!(rule.depth() <= RULE_DEPTH_MAX && rule.nodes() <= RULE_NODES_MAX);
        let text = rule.to_string();
        prop_assert_eq!(Rule::parse(&text).map_err(|error| error.to_string()), Ok(rule));
    }

    /// Any text is a rule or an error inside it; what is a rule is canonical after one step.
    #[test]
    fn any_text_is_answered(text in "(?s).{0,60}|[a-z0-9 ()\"=,.%<>!“'\\\\-]{0,60}|(and |or |not |has mobile |\\(|\\)|age in 18\\.\\.60 |service in \\(tv,ftth\\) ){0,30}") {
        match Rule::parse(&text) {
            Ok(rule) => prop_assert_eq!(Rule::parse(&rule.to_string()).map(|again| again.to_string()), Ok(rule.to_string())),
            Err(error) => {
                prop_assert!(error.place.offset <= text.len());
                prop_assert_eq!(error.to_string().lines().count(), 3);
            }
        }
    }

    /// A text cut anywhere never makes the reader panic.
    #[test]
    fn a_cut_text_is_answered(rule in any_rule(), cut in 0usize..400) {
        let text: String = rule.to_string().chars().take(cut).collect();
        if let Err(error) = Rule::parse(&text) {
            prop_assert!(error.place.offset <= text.len());
        }
    }
}
