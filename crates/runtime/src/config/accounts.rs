//! `[sms]` and `[email]`: carrier accounts and mail relays.
//!
//! Must stay true: partitions of two accounts of one channel never overlap; an account without a list is alone and has
//! all of them.

use loa_domain::ids::AccountId;
use loa_domain::limits::{SHARDS, SMS_PARTS_MAX};
use loa_ports::carrier::{CarrierAccount, CarrierTls, IdForm, Secret, StatusVerdict};
use loa_ports::mailer::{Relay, TlsPolicy};

use super::section::Section;

/// `[sms]`
#[derive(Debug, Clone, Default)]
pub struct SmsConfig {
    /// `[sms.account.<id>]`
    pub accounts: Vec<SmsAccount>,
}

/// One carrier account.
#[derive(Debug, Clone)]
pub struct SmsAccount {
    /// What its binds need.
    pub carrier: CarrierAccount,
    /// Binds over all nodes.
    pub binds: u32,
    /// Parts a second over all nodes.
    pub rate: f64,
    /// E.164 prefixes that it takes, without plus; empty = every number.
    pub prefixes: Vec<String>,
    /// Partitions of the lane topics.
    pub partitions: Vec<u32>,
    /// A simulator: only these may take synthetic people.
    pub simulator: bool,
    /// Parts of one text, at most.
    pub parts_max: u8,
}

/// `[email]`
#[derive(Debug, Clone, Default)]
pub struct EmailConfig {
    /// `[email.relay.<id>]`
    pub relays: Vec<EmailRelay>,
}

/// One mail relay.
#[derive(Debug, Clone)]
pub struct EmailRelay {
    /// What its connections need.
    pub relay: Relay,
    /// Connections over all nodes.
    pub connections: u32,
    /// Mails a second over all nodes.
    pub rate: f64,
    /// Domains that it takes; empty = every domain.
    pub domains: Vec<String>,
    /// Partitions of the lane topics.
    pub partitions: Vec<u32>,
    /// A simulator: only these may take synthetic people.
    pub simulator: bool,
    /// Domain of return paths (VERP).
    pub return_domain: String,
}

pub(super) fn read_sms(section: Section<'_>) -> SmsConfig {
    let list = section.section("account");
    let names = list.names();
    let accounts: Vec<_> = names.iter().filter_map(|name| read_account(&list, name, names.len() == 1)).collect();
    disjoint(&list, accounts.iter().map(|account| (account.carrier.id.as_str(), account.partitions.as_slice())));
    section.finish();
    SmsConfig { accounts }
}

fn read_account(list: &Section<'_>, name: &str, alone: bool) -> Option<SmsAccount> {
    let section = list.section(name);
    let id = AccountId::new(name).map_err(|error| list.fault(name, error.to_string())).ok();
    let short = |key: &str, max: usize| {
        let text = section.text(key);
        if text.len() > max || !text.is_ascii() {
            section.fault(key, format!("at most {max} ASCII characters (SMPP 3.4 §4.1.1)"));
        }
        text
    };
    let carrier = CarrierAccount {
        id: id?,
        address: section.text("address"),
        system_id: short("system_id", 15),
        password: Secret(secret(&section, "password")),
        system_type: section.optional_text("system_type").unwrap_or_default(),
        window: section.number("window", 1..=1_000),
        id_form: id_form(&section),
        sender_ton_npi: None,
        status_overrides: overrides(&section),
        response_timeout: section.millis("response_timeout_ms", 100..=120_000),
        enquire_link: section.millis("enquire_link_ms", 1_000..=120_000),
        tls: tls(&section),
    };
    if carrier.password.0.len() > 8 {
        section.fault("password", "at most 8 characters (SMPP 3.4 §4.1.1)");
    }
    let account = SmsAccount {
        carrier,
        binds: section.number("binds", 1..=64),
        rate: section.float("rate", 0.1..=1_000_000.0),
        prefixes: section.texts("prefixes"),
        partitions: partitions(&section, alone),
        simulator: section.flag("simulator"),
        parts_max: u8::try_from(section.number("parts_max", 1..=u32::try_from(SMS_PARTS_MAX).unwrap_or(10)))
            .unwrap_or(1),
    };
    section.finish();
    Some(account)
}

pub(super) fn read_email(section: Section<'_>) -> EmailConfig {
    let list = section.section("relay");
    let names = list.names();
    let relays: Vec<_> = names.iter().filter_map(|name| read_relay(&list, name, names.len() == 1)).collect();
    disjoint(&list, relays.iter().map(|relay| (relay.relay.id.as_str(), relay.partitions.as_slice())));
    section.finish();
    EmailConfig { relays }
}

fn read_relay(list: &Section<'_>, name: &str, alone: bool) -> Option<EmailRelay> {
    let section = list.section(name);
    let id = AccountId::new(name).map_err(|error| list.fault(name, error.to_string())).ok();
    let policy = match section.text("tls").as_str() {
        "off" => TlsPolicy::Off,
        "opportunistic" => TlsPolicy::Opportunistic,
        "required" => match tls(&section) {
            Some(tls) => TlsPolicy::Required(tls),
            None => {
                section.fault("tls", "required needs tls_server_name and tls_ca");
                TlsPolicy::Off
            }
        },
        other => {
            section.fault("tls", format!("`{other}` is not allowed; use off, opportunistic or required"));
            TlsPolicy::Off
        }
    };
    let relay = Relay {
        id: id?,
        address: section.text("address"),
        hello: section.text("hello"),
        tls: policy,
        mails_per_connection_max: section.number("mails_per_connection_max", 1..=1_000_000),
        pipeline: section.number("pipeline", 1..=100),
        reply_timeout: section.millis("reply_timeout_ms", 100..=600_000),
    };
    let relay = EmailRelay {
        relay,
        connections: section.number("connections", 1..=1_000),
        rate: section.float("rate", 0.1..=1_000_000.0),
        domains: section.texts("domains"),
        partitions: partitions(&section, alone),
        simulator: section.flag("simulator"),
        return_domain: section.text("return_domain"),
    };
    section.finish();
    Some(relay)
}

/// A secret: the value itself, or `file:<path>` with the value on its first line.
pub(super) fn secret(section: &Section<'_>, key: &str) -> String {
    let text = section.text(key);
    let Some(path) = text.strip_prefix("file:") else { return text };
    match std::fs::read_to_string(path) {
        Ok(content) => content.lines().next().unwrap_or_default().to_owned(),
        Err(error) => {
            section.fault(key, format!("`{path}` cannot be read: {error}"));
            String::new()
        }
    }
}

fn id_form(section: &Section<'_>) -> IdForm {
    match section.optional_text("id_form").as_deref() {
        None | Some("as_is") => IdForm::AsIs,
        Some("resp_hex_receipt_dec") => IdForm::RespHexReceiptDec,
        Some("resp_dec_receipt_hex") => IdForm::RespDecReceiptHex,
        Some(other) => {
            section.fault(
                "id_form",
                format!("`{other}` is not allowed; use as_is, resp_hex_receipt_dec or resp_dec_receipt_hex"),
            );
            IdForm::AsIs
        }
    }
}

/// `status_overrides = ["0x45=permanent"]`
fn overrides(section: &Section<'_>) -> Vec<(u32, StatusVerdict)> {
    let parse = |text: &String| {
        let (status, verdict) = text.split_once('=')?;
        let status = u32::from_str_radix(status.trim().strip_prefix("0x")?, 16).ok()?;
        let verdict = match verdict.trim() {
            "retry" => StatusVerdict::Retry,
            "throttle" => StatusVerdict::Throttle,
            "permanent" => StatusVerdict::Permanent,
            "permanent_campaign" => StatusVerdict::PermanentCampaign,
            "link" => StatusVerdict::Link,
            _ => return None,
        };
        Some((status, verdict))
    };
    let texts = section.texts("status_overrides");
    texts
        .iter()
        .filter_map(|text| {
            let parsed = parse(text);
            if parsed.is_none() {
                section.fault(
                    "status_overrides",
                    format!("`{text}` is not of the form 0x45=retry|throttle|permanent|permanent_campaign|link"),
                );
            }
            parsed
        })
        .collect()
}

fn tls(section: &Section<'_>) -> Option<CarrierTls> {
    let (server_name, ca) = (section.optional_text("tls_server_name"), section.optional_text("tls_ca"));
    match (server_name, ca) {
        (Some(server_name), Some(path)) => match std::fs::read(&path) {
            Ok(ca_pem) => Some(CarrierTls { server_name, ca_pem }),
            Err(error) => {
                section.fault("tls_ca", format!("`{path}` cannot be read: {error}"));
                None
            }
        },
        (None, None) => None,
        _ => {
            section.fault("tls_server_name", "needs tls_ca, and the other way round");
            None
        }
    }
}

/// `partitions = ["0-31", "40"]`
fn partitions(section: &Section<'_>, alone: bool) -> Vec<u32> {
    let last = u32::from(SHARDS) - 1;
    if !section.has("partitions") {
        if !alone {
            section.fault("partitions", "is missing; with several accounts each needs its own, e.g. [\"0-31\"]");
        }
        return (0..=last).collect();
    }
    let mut all = Vec::new();
    for text in section.texts("partitions") {
        let (from, to) = text.split_once('-').unwrap_or((&text, &text));
        match (from.trim().parse::<u32>(), to.trim().parse::<u32>()) {
            (Ok(from), Ok(to)) if from <= to && to <= last => all.extend(from..=to),
            _ => section.fault(
                "partitions",
                format!("`{text}` is not allowed; use numbers or ranges from 0 to {last}, e.g. \"0-31\""),
            ),
        }
    }
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        section.fault("partitions", "is empty; an account needs at least one partition");
    }
    all
}

fn disjoint<'a>(list: &Section<'_>, accounts: impl Iterator<Item = (&'a str, &'a [u32])>) {
    let mut owner = std::collections::BTreeMap::new();
    for (name, partitions) in accounts {
        for &partition in partitions {
            if let Some(other) = owner.insert(partition, name).filter(|other| *other != name) {
                list.fault(
                    &format!("{name}.partitions"),
                    format!("partition {partition} is also of `{other}`; make the lists disjoint"),
                );
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, DEFAULT, DEV, Layers};

    fn check(text: &str) -> String {
        let mut layers = Layers::default();
        layers.add_toml("d", DEFAULT, true).unwrap();
        layers.add_toml("d", DEV, true).unwrap();
        layers.add_toml("loa.toml", text, false).unwrap();
        Config::check(&layers).map_or_else(|faults| faults.to_string(), |_| String::new())
    }

    #[test]
    fn accounts_must_not_share_partitions() {
        let text = check("[sms.account.sim-a]\npartitions = [\"0-40\"]\n");
        assert!(text.contains("make the lists disjoint"), "{text}");
    }

    #[test]
    fn limits_of_the_protocol_are_checked() {
        let text = check("[sms.account.sim-a]\npassword = \"longer than eight\"\nwindow = 0\n");
        assert!(
            text.contains("sms.account.sim-a.password: at most 8") && text.contains("sms.account.sim-a.window"),
            "{text}"
        );
    }
}
