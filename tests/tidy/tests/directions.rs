//! Dependencies point one way, and each technology stays where it belongs.

use std::collections::BTreeSet;

use loa_tidy::crates::{Edge, edges};
use loa_tidy::{files, none, read};

/// Which crates of ours each kind of crate may use. What is not listed is forbidden. The first row that fits counts.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("contract", &["domain"]),
    ("ports", &["domain", "contract"]),
    ("runtime", &["domain", "contract", "ports"]),
    // What both gateways share.
    ("gateway", &["domain", "contract", "ports", "runtime"]),
    ("wire/", &["domain"]),
    ("adapters/", &["domain", "contract", "ports", "runtime", "wire/"]),
    ("services/sms", &["domain", "contract", "ports", "runtime", "gateway"]),
    ("services/email", &["domain", "contract", "ports", "runtime", "gateway"]),
    ("services/", &["domain", "contract", "ports", "runtime"]),
    ("sim", &["domain", "wire/"]),
    ("testkit", &["domain", "contract", "ports", "runtime"]),
    ("loa", &["domain", "contract", "ports", "runtime", "gateway", "adapters/", "services/", "sim"]),
];

/// Technologies, and the only crates that may know of them.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("arrow", &["adapters/parquet"]),
    ("askama", &["services/console"]),
    ("axum", &["runtime", "services/console", "loa"]),
    ("clap", &["loa"]),
    ("mail-parser", &["sim"]),
    ("opentelemetry", &["runtime"]),
    ("parquet", &["adapters/parquet"]),
    ("rdkafka", &["adapters/kafka"]),
    ("redis", &["adapters/redis"]),
    ("sqlx", &["adapters/embedded", "adapters/store"]),
    ("tokio-rustls", &["adapters/smpp", "adapters/smtp"]),
];

/// Crates without input, output and clock: everything comes in as an argument.
const PURE: &[&str] = &["domain", "contract", "wire/"];
const EFFECTS: &[&str] = &["axum", "sqlx", "tokio", "tokio-stream", "tokio-util"];

/// One sentence per dependency that the tables do not allow.
fn forbidden(edges: &[Edge]) -> Vec<String> {
    edges.iter().filter_map(fault).collect()
}

fn fault(Edge { from, to, ours }: &Edge) -> Option<String> {
    let starts = |kinds: &[&str], name: &str| kinds.iter().any(|kind| is_of(kind, name));
    if *ours {
        let (_, uses) = MAY_USE
            .iter()
            .find(|(kind, _)| is_of(kind, from))
            .unwrap_or_else(|| panic!("crates/{from} is of no known kind; give it a row in MAY_USE"));
        return (!starts(uses, to)).then(|| format!("{from} must not use {to}"));
    }
    if starts(PURE, from) && EFFECTS.contains(&to.as_str()) {
        return Some(format!("{from} must not use {to}: it has no effects"));
    }
    let (_, homes) = ONLY_IN.iter().find(|(name, _)| name == to)?;
    (!starts(homes, from)).then(|| format!("{from} must not use {to}: it belongs to {}", homes.join(", ")))
}

/// A kind that ends in `/` is a folder of crates, any other one crate.
fn is_of(kind: &str, name: &str) -> bool {
    name == kind || (kind.ends_with('/') && name.starts_with(kind))
}

#[test]
fn dependencies_point_one_way() {
    let edges = edges(&files());
    assert!(edges.iter().filter(|edge| edge.ours).count() > 40, "the manifests were not read");
    none(&forbidden(&edges));
}

#[test]
fn the_code_map_names_every_crate_and_no_other() {
    let headings =
        read("crates/README.md").lines().filter_map(|line| line.strip_prefix("### ")).collect::<Vec<_>>().join(",");
    let mapped: BTreeSet<String> = headings.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let manifests = files().into_iter().filter_map(|file| Some(file.path.strip_suffix("/Cargo.toml")?.to_owned()));
    let crates: BTreeSet<String> =
        manifests.filter_map(|path| Some(path.strip_prefix("crates/")?.to_owned())).collect();
    assert_eq!(mapped, crates, "the headings of crates/README.md are the folders of the crates");
}

#[test]
fn a_wrong_direction_is_found() {
    #[track_caller]
    fn check(from: &str, to: &str, ours: bool, expected: Option<&str>) {
        let edge = Edge { from: from.to_owned(), to: to.to_owned(), ours };
        assert_eq!(fault(&edge).as_deref(), expected);
    }
    check("domain", "ports", true, Some("domain must not use ports"));
    check("services/sms", "services/email", true, Some("services/sms must not use services/email"));
    check("services/sms", "adapters/smpp", true, Some("services/sms must not use adapters/smpp"));
    check("services/report", "gateway", true, Some("services/report must not use gateway"));
    check("adapters/store", "adapters/embedded", true, Some("adapters/store must not use adapters/embedded"));
    check("sim", "ports", true, Some("sim must not use ports"));
    check("loa", "testkit", true, Some("loa must not use testkit"));
    check(
        "services/sms",
        "sqlx",
        false,
        Some("services/sms must not use sqlx: it belongs to adapters/embedded, adapters/store"),
    );
    check("wire/smpp", "tokio", false, Some("wire/smpp must not use tokio: it has no effects"));
    check("services/email", "gateway", true, None);
    check("adapters/smpp", "wire/smpp", true, None);
    check("loa", "services/console", true, None);
    check("adapters/store", "sqlx", false, None);
    check("domain", "uuid", false, None);
}
