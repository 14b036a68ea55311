//! A small installation as its roles would tell of it: one campaign that runs, one that is written.

use std::collections::HashMap;

use loa_console::InboxItem;
use loa_contract::pb::{email::v1 as email, registry::v1 as registry, report::v1 as report, sms::v1 as sms};
use prost_types::Timestamp;

use crate::fakes::Fakes;
use crate::site::Listed;

pub(crate) const RUNNING: &str = "0193a0c0-0000-7000-8000-000000000001";
pub(crate) const DRAFT: &str = "0193a0c0-0000-7000-8000-000000000002";

/// 24 November 2026, 08:00 in Viet Nam.
const MORNING: i64 = 1_795_482_000;

fn at(after: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: MORNING + after, nanos: 0 })
}

/// Everything there.
pub(crate) fn full() -> Fakes {
    let fakes = Fakes::default();
    fakes.with(|world| {
        world.campaigns = vec![running(), draft()];
        world.contents = contents();
        world.audit = audit();
        let ledgers = vec![ledger([1_000, 0, 0, 9_000], [500, 9_477]), ledger([6_112, 230, 58, 3_600], [9_830, 147])];
        world.ledgers = [(RUNNING.to_owned(), ledgers)].into();
        world.accounts = vec![account()];
        world.relays = vec![relay()];
    });
    fakes
}

fn running() -> registry::Campaign {
    let variant = |template: &str, sender: &str, name: &str, channel: i32| registry::Variant {
        template: template.to_owned(),
        template_version: 2,
        sender: sender.to_owned(),
        sender_name: name.to_owned(),
        channel,
        content_hash: template.as_bytes().to_vec(),
    };
    registry::Campaign {
        id: RUNNING.to_owned(),
        title: "Tiêm phòng dại cho chó mèo, đợt 2 năm 2026".to_owned(),
        task_ref: "T2".to_owned(),
        lead_units: vec!["so-y-te".to_owned()],
        coordinating_units: vec!["ubnd-ba-tri".to_owned()],
        legal_basis: vec!["Kế hoạch 123/KH-UBND".to_owned()],
        class: 4,
        lane: 3,
        starts_at: at(0),
        ends_at: at(86_400 * 5),
        hours: Some(registry::DailyHours { open_minute: 420, close_minute: 1_260 }),
        variants: vec![
            variant("tiem-phong-sms", "BENTRE", "", 1),
            variant("tiem-phong-thu", "so-yte@bentre.example.test", "BENTRE", 2),
        ],
        dataset: "thue-bao".to_owned(),
        segment: "commune in district(\"Ba Tri\") and has mobile".to_owned(),
        state: "running".to_owned(),
        created_by: "an".to_owned(),
        created_at: at(-7_200),
        approved_by: "binh".to_owned(),
        approved_at: at(-3_600),
        started_at: at(0),
        manifest_hash: vec![0xAB; 32],
        freeze: Some(freeze()),
        synthetic: true,
        ..registry::Campaign::default()
    }
}

fn freeze() -> registry::FreezeSummary {
    let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
    let sms = registry::FreezeVariantSummary {
        variant: 0,
        frozen: 10_000,
        parts: 20_000,
        chunks: 64,
        excluded: counts(&[("SUPPRESSED", 300), ("INVALID_ADDRESS", 21)]),
        accounts: counts(&[("sim-a", 6_100), ("sim-b", 3_900)]),
    };
    let email = registry::FreezeVariantSummary {
        variant: 1,
        frozen: 9_977,
        parts: 9_977,
        excluded: counts(&[("INVALID_ADDRESS", 344)]),
        accounts: counts(&[("sim-mail", 9_977)]),
        ..sms.clone()
    };
    registry::FreezeSummary { selected: 10_321, variants: vec![sms, email], dataset_version: 3 }
}

fn draft() -> registry::Campaign {
    registry::Campaign {
        id: DRAFT.to_owned(),
        title: "Lịch cắt điện tuần 48".to_owned(),
        state: "draft".to_owned(),
        created_by: "an".to_owned(),
        ..registry::Campaign {
            variants: Vec::new(),
            freeze: None,
            synthetic: false,
            approved_by: String::new(),
            ..running()
        }
    }
}

fn contents() -> HashMap<Vec<u8>, registry::Content> {
    let sms =
        registry::Content {
            channel: 1, text: "Mời bà con tiêm phòng: {ten}, {gio}".to_owned(), ..Default::default()
        };
    let mail = registry::Content {
        channel: 2,
        subject: "Tiêm phòng dại".to_owned(),
        text: "Kính gửi {ten},\nMời bà con đến nhà văn hóa ấp.".to_owned(),
        ..Default::default()
    };
    [(b"tiem-phong-sms".to_vec(), sms), (b"tiem-phong-thu".to_vec(), mail)].into()
}

fn audit() -> Vec<registry::AuditEntry> {
    let told = [
        (RUNNING, -7_200, "an", "create", ""),
        (RUNNING, -7_000, "an", "submit", "draft → freezing"),
        (RUNNING, -3_600, "binh", "approve", "submitted → approved"),
        (RUNNING, 0, "chi", "start", "scheduled → running"),
        (DRAFT, -100, "binh", "reject", "approved → draft: thiếu căn cứ"),
    ];
    let entry = |(object, after, user, action, detail): (&str, i64, &str, &str, &str)| registry::AuditEntry {
        at: at(after),
        user: user.to_owned(),
        object_kind: "campaign".to_owned(),
        object_id: object.to_owned(),
        action: action.to_owned(),
        detail: detail.to_owned(),
        ..Default::default()
    };
    told.map(entry).into()
}

fn ledger([delivered, submitted, undelivered, open]: [u64; 4], mails: [u64; 2]) -> report::CampaignLedger {
    let sms = report::Ledger {
        channel: 1,
        frozen: 10_000,
        delivered,
        submitted,
        undelivered,
        open,
        parts: delivered * 2,
        reasons: [("RECEIPT".to_owned(), undelivered)].into(),
        adds_up: true,
        ..Default::default()
    };
    let [accepted, skipped] = mails;
    let mail = report::Ledger {
        variant: 1,
        channel: 2,
        frozen: accepted + skipped,
        delivered: accepted,
        skipped,
        reasons: [("SUPPRESSED".to_owned(), skipped)].into(),
        adds_up: true,
        ..Default::default()
    };
    report::CampaignLedger {
        campaign_id: RUNNING.to_owned(),
        title: "không hiện".to_owned(),
        state: "running".to_owned(),
        variants: vec![sms, mail],
        as_of: at(60),
        complete: true,
        ..Default::default()
    }
}

fn account() -> sms::AccountStatus {
    let bind = |slot, state: &str, error: &str, in_flight| sms::BindStatus {
        slot,
        state: state.to_owned(),
        last_error: error.to_owned(),
        in_flight,
    };
    sms::AccountStatus {
        account: "sim-a".to_owned(),
        address: "127.0.0.1:2775".to_owned(),
        rate: 500.0,
        rate_max: 1_000.0,
        simulator: true,
        binds: vec![bind(0, "bound", "", 100), bind(1, "backing_off", "connection refused", 0)],
        submitted: 12_345,
        receipts: 12_000,
        throttled: 3,
        ..Default::default()
    }
}

fn relay() -> email::RelayStatus {
    email::RelayStatus {
        account: "sim-mail".to_owned(),
        address: "127.0.0.1:2525".to_owned(),
        connections: 4,
        delivered: 9_876,
        rate_max: 2_000.0,
        simulator: true,
        ..Default::default()
    }
}

/// One text and one mail.
pub(crate) fn inbox() -> Listed {
    let unix_us = u64::try_from(MORNING * 1_000_000).expect("it is after 1970");
    let text = InboxItem {
        unix_us,
        channel: "sms".to_owned(),
        from: "BENTRE".to_owned(),
        to: "84912345678".to_owned(),
        subject: String::new(),
        text: "Họp tổ lúc 8h".to_owned(),
        parts: 2,
    };
    let mail = InboxItem {
        channel: "email".to_owned(),
        from: "Sở Y tế <so-yte@bentre.example.test>".to_owned(),
        to: "lan@example.test".to_owned(),
        subject: "Thư mời".to_owned(),
        text: "Kính gửi chị Lan,\nMời chị đến họp lúc chín giờ.\n".to_owned(),
        parts: 1,
        ..text.clone()
    };
    Listed(vec![text, mail])
}
