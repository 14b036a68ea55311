//! Freeze: who is frozen, who is left out and why, and that it is the same every time.

use std::collections::BTreeMap;

use loa_domain::channel::{Channel, Class};
use loa_domain::ids::CampaignId;
use loa_ports::audience::{Route, Router};

use super::*;

pub(super) fn variant(number: u32, channel: Channel, text: &str) -> pb::FreezeVariant {
    pb::FreezeVariant {
        variant: number,
        channel: i32::from(channel.code()),
        text: text.to_owned(),
        ..Default::default()
    }
}

pub(super) fn route(account: &str, channel: Channel) -> Route {
    Route { account: account.to_owned(), channel, prefixes: vec![], domains: vec![], simulator: true, parts_max: 10 }
}

pub(super) fn inputs(rule: &str, variants: Vec<pb::FreezeVariant>) -> FreezeInputs {
    FreezeInputs {
        freeze: FreezeId(Uuid::from_u128(77)),
        campaign: CampaignId(Uuid::from_u128(88)),
        campaign_version: 3,
        dataset: "ben-tre".to_owned(),
        dataset_version: 1,
        import_id: Uuid::from_u128(1),
        rule: rule.parse().unwrap(),
        class: Class::PublicInformation,
        unit_code: "so-tttt".to_owned(),
        topic: "so-hoa".to_owned(),
        variants,
        suppression_position: 5,
        router: Router::new(vec![route("sim", Channel::Sms), route("post", Channel::Email)]),
        respect_dnc_for_public: true,
    }
}

pub(super) fn chunks(engine: &Engine, variant: u32) -> Vec<pb::Chunk> {
    let mut found = Vec::new();
    let freeze = FreezeId(Uuid::from_u128(77));
    let wanted = ChunksWanted { freeze, variant, shard: None, first_chunk: 0, chunks_max: 0, keys_only: false };
    let each = &mut |chunk| {
        found.push(chunk);
        true
    };
    engine.datasets.read_chunks(&wanted, each).unwrap();
    found
}

#[track_caller]
pub(super) fn excluded(manifest: &pb::Manifest, variant: usize) -> BTreeMap<&str, u64> {
    let variant = &manifest.variants[variant];
    let sum: u64 = variant.excluded.values().sum();
    assert_eq!(manifest.selected, sum + variant.frozen, "selected = excluded + frozen");
    variant.excluded.iter().map(|(reason, people)| (reason.as_str(), *people)).collect()
}

const PEOPLE: &str = "account_id,msisdn,email,age_band,consent_ads,dnc,suppressed,slots.ten\n\
    A01,0912345601,a01@example.test,18-24,granted,none,,Lan\n\
    A02,0912345602,,18-24,withdrawn,none,,An\n\
    A03,0912345603,,18-24,granted,sms,,Hoa\n\
    A04,0912345604,,<16,granted,call,,Mai\n\
    A05,0912345605,,,granted,none,all,Nga\n\
    A06,0912345606,,,granted,none,so-tttt//,Tam\n\
    A07,0912345607,,,granted,none,so-khac//,Tu\n\
    A08,,a08@example.test,,,,,Bay\n\
    A09,0912345601,,,granted,,,Chin\n\
    A10,0912345610,A01@Example.test,,,,,\n\
    A11,0912345611,,,granted,none,,Muoi\n";

#[test]
fn everybody_is_frozen_or_left_out_for_one_reason() {
    let engine = Engine::new();
    engine.import(1, None, PEOPLE).unwrap();
    let check = |class: Class, variants: Vec<pb::FreezeVariant>, expected: &[&[(&str, u64)]]| {
        let inputs = FreezeInputs { class, ..inputs("has mobile or has email", variants) };
        let manifest = engine.freeze(&inputs, &Suppressed(vec![84_912_345_611]));
        assert_eq!(manifest.selected, 11);
        for (at, expected) in expected.iter().enumerate() {
            assert_eq!(excluded(&manifest, at), expected.iter().copied().collect(), "{class} {at}");
        }
    };
    let sms = || vec![variant(0, Channel::Sms, "Kinh gui ba con")];
    let named = || vec![variant(0, Channel::Sms, "Kinh gui {ten}")];
    let both = || vec![variant(0, Channel::Sms, "Kinh gui"), variant(1, Channel::Email, "")];

    check(
        Class::PublicInformation,
        both(),
        &[
            &[("INVALID_ADDRESS", 1), ("DUPLICATE", 1), ("DNC", 1), ("SUPPRESSED", 3)],
            &[("INVALID_ADDRESS", 8), ("DUPLICATE", 1)],
        ],
    );
    check(
        Class::PublicInformation,
        named(),
        &[&[("INVALID_ADDRESS", 1), ("DUPLICATE", 1), ("DNC", 1), ("SUPPRESSED", 3), ("RENDER", 1)]],
    );
    check(Class::Emergency, sms(), &[&[("INVALID_ADDRESS", 1), ("DUPLICATE", 1)]]);
    check(
        Class::Advertising,
        sms(),
        &[&[
            ("INVALID_ADDRESS", 1),
            ("DUPLICATE", 1),
            ("DNC", 1),
            ("SUPPRESSED", 3),
            ("CONSENT_WITHDRAWN", 1),
            ("NO_CONSENT", 1),
            ("UNDERAGE", 1),
        ]],
    );
    check(Class::CustomerCare, sms(), &[&[("INVALID_ADDRESS", 1), ("DUPLICATE", 1), ("SUPPRESSED", 3)]]);
}

#[test]
fn routes_and_lengths_leave_people_out() {
    let engine = Engine::new();
    engine
        .import(
            1,
            None,
            "account_id,msisdn,slots.ten\nA1,0912345601,Lan\nA2,0961234567,Nguyễn Thị Thùy\nA3,0901234567,An\n",
        )
        .unwrap();
    let viettel = Route { prefixes: vec!["8496".to_owned()], ..route("viettel", Channel::Sms) };
    let short = Route { prefixes: vec!["8491".to_owned()], parts_max: 1, ..route("short", Channel::Sms) };
    let text = format!("{}{{ten}}", "a".repeat(70));
    let freeze = |routes: Vec<Route>, text: &str| {
        let inputs =
            FreezeInputs { router: Router::new(routes), ..inputs("has mobile", vec![variant(0, Channel::Sms, text)]) };
        engine.freeze(&inputs, &Suppressed::default())
    };
    let manifest = freeze(vec![viettel.clone(), short.clone()], &text);
    assert_eq!(excluded(&manifest, 0), [("NO_ROUTE", 1)].into());
    assert_eq!(
        (manifest.variants[0].frozen, manifest.variants[0].parts),
        (2, 3),
        "one text is UCS-2 and takes two parts"
    );
    let accounts: Vec<&str> = manifest.variants[0].routes.iter().map(|route| route.account.as_str()).collect();
    assert!(accounts.contains(&"viettel") && accounts.contains(&"short"));
    let manifest = freeze(vec![short], &"a".repeat(161));
    assert_eq!(excluded(&manifest, 0), [("NO_ROUTE", 2), ("TOO_LONG", 1)].into());
    let manifest = freeze(vec![viettel], &"a".repeat(1_531));
    assert_eq!(excluded(&manifest, 0), [("NO_ROUTE", 2), ("TOO_LONG", 1)].into());
    // These people are synthetic: a real account takes none of them.
    let real = Route { simulator: false, ..route("real", Channel::Sms) };
    assert_eq!(excluded(&freeze(vec![real], "a"), 0), [("NO_ROUTE", 3)].into());
}

#[test]
fn the_same_inputs_give_the_same_chunks() {
    let engine = Engine::new();
    let text: String =
        (0..70_000).map(|number| format!("A{number},0{},Ten{}\n", 910_000_000 + number % 60_000, number % 7)).collect();
    engine.import(1, None, format!("account_id,msisdn,slots.ten\n{text}")).unwrap();
    let routes = vec![route("a", Channel::Sms), route("b", Channel::Sms)];
    let inputs = FreezeInputs {
        router: Router::new(routes),
        ..inputs("has mobile", vec![variant(0, Channel::Sms, "Chao {ten}")])
    };
    let first = engine.freeze(&inputs, &Suppressed::default());
    let first_chunks = chunks(&engine, 0);
    assert_eq!(excluded(&first, 0), [("DUPLICATE", 10_000)].into());

    // A chunk: one shard, one account, at most 500, its hashes ascending and of its numbers.
    let of_routes: Vec<(u32, &str)> = first.variants[0]
        .routes
        .iter()
        .flat_map(|route| std::iter::repeat_n((route.shard, route.account.as_str()), route.chunks as usize))
        .collect();
    assert_eq!(of_routes.len(), first_chunks.len());
    for (number, (chunk, (shard, account))) in first_chunks.iter().zip(of_routes).enumerate() {
        let stands = chunk.key.as_ref().unwrap();
        assert_eq!((stands.chunk as usize, chunk.shard, chunk.account.as_str()), (number, shard, account));
        assert!(chunk.msisdns.len() <= 500 && chunk.address_hashes.is_sorted());
        assert_eq!((chunk.parts.len(), chunk.slots[0].values.len()), (chunk.msisdns.len(), chunk.msisdns.len()));
        for (msisdn, hash) in chunk.msisdns.iter().zip(&chunk.address_hashes) {
            let expected = key().number(*msisdn);
            assert_eq!((expected.0, expected.shard().number()), (*hash, chunk.shard));
        }
    }
    let frozen: usize = first_chunks.iter().map(|chunk| chunk.msisdns.len()).sum();
    assert_eq!(frozen as u64, first.variants[0].frozen);

    // Again, and on one thread: the same hash, the same chunks, so the same message ids.
    engine.datasets.discard_freeze(inputs.freeze).unwrap();
    let single = ParquetDatasets::open(engine.directory.path(), key(), 1, Arc::new(SystemClock::new())).unwrap();
    let second = single.freeze(&inputs, &Suppressed::default(), &Always).unwrap();
    assert_eq!((second.hash.len(), second), (32, first));
    assert_eq!(chunks(&engine, 0), first_chunks);
    // An id stands for one freeze.
    let again = engine.datasets.freeze(&inputs, &Suppressed::default(), &Always).unwrap_err();
    assert!(matches!(again, DatasetError::Damaged { .. }), "{again}");
    // Another input is another hash.
    let other = FreezeInputs { suppression_position: 6, ..inputs.clone() };
    let other = engine.freeze(&other, &Suppressed::default());
    assert_ne!(other.hash, engine.freeze(&inputs, &Suppressed::default()).hash);
}

#[test]
fn a_bad_request_is_refused_with_every_fault() {
    let engine = Engine::new();
    engine.import(1, None, PEOPLE).unwrap();
    let bad = vec![
        pb::FreezeVariant { diacritics: "maybe".to_owned(), ..variant(0, Channel::Sms, "Kinh gui {ten") },
        pb::FreezeVariant { slots: vec!["tuoi".to_owned()], channel: 0, ..variant(0, Channel::Email, "") },
    ];
    let error = engine.datasets.freeze(&inputs("has mobile", bad), &Suppressed::default(), &Always).unwrap_err();
    let DatasetError::Refused { faults } = error else { panic!("{error}") };
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "variants[0].diacritics",
            "variants[0].text",
            "variants[1].variant",
            "variants[1].channel",
            "variants[1].slots"
        ]
    );
    assert!(faults[4].problem.contains("there are: ten"), "{faults:?}");
    let none = engine.datasets.freeze(&inputs("has mobile", vec![]), &Suppressed::default(), &Always).unwrap_err();
    assert!(matches!(none, DatasetError::Refused { .. }));
    assert!(!engine.files().iter().any(|file| file.starts_with("freezes/") || file.starts_with("tmp/")));
}

#[test]
fn a_freeze_that_is_stopped_leaves_nothing() {
    let engine = Engine::new();
    engine.import(1, None, PEOPLE).unwrap();
    let inputs = inputs("has mobile", vec![variant(0, Channel::Sms, "a")]);
    for looks in [1, 64, 65, 100] {
        let stopped = engine.datasets.freeze(&inputs, &Suppressed::default(), &StopAt(AtomicU64::new(looks)));
        assert!(matches!(stopped, Err(DatasetError::Stopped)), "{looks}");
        assert!(!engine.files().iter().any(|file| file.starts_with("freezes/") || file.starts_with("tmp/")));
    }
}

#[test]
fn a_chunk_fits_a_log_record() {
    let engine = Engine::new();
    // 32 slots of 64 letters that take three bytes: 6 kB a person.
    let names: String = (0..32).map(|number| format!(",slots.s{number}")).collect();
    let values = format!(",{}", "ế".repeat(64)).repeat(32);
    // One shard needs more than a chunk's bytes: keep people whose number falls in shard 0.
    let numbers = (84_910_000_000_u64..).filter(|number| key().number(*number).shard().number() == 0).take(200);
    let text: String = numbers.map(|number| format!("A{number},{number}{values}\n")).collect();
    engine.import(1, None, format!("account_id,msisdn{names}\n{text}")).unwrap();
    let slots = (0..32).map(|number| format!("s{number}")).collect();
    let variants = vec![pb::FreezeVariant { slots, ..variant(0, Channel::Sms, "a") }];
    let manifest = engine.freeze(&inputs("has mobile", variants), &Suppressed::default());
    assert_eq!(manifest.variants[0].frozen, 200);
    let sizes: Vec<usize> = chunks(&engine, 0).iter().map(prost::Message::encoded_len).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|bytes| *bytes < 600 * 1024), "{sizes:?}");
}
