//! What `deploy/compose` says of the configuration is legal: every key of its file and of its services' variables exists.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

use loa_runtime::config::{Config, DEFAULT, Layers, LogConfig, StoreConfig};

const SECRETS: &str = "/run/secrets";

fn compose(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/compose");
    fs::read_to_string(folder.join(file)).unwrap()
}

/// `LOA__…: value` of one service.
fn variables(service: &str) -> Vec<(String, String)> {
    let text = compose("compose.yaml");
    let (_, rest) = text.split_once(&format!("\n  {service}:\n")).expect("the service is there");
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let pair = |line: &str| {
        let (key, value) = line.trim().split_once(": ")?;
        key.starts_with("LOA__").then(|| (key.to_owned(), value.trim_matches('"').to_owned()))
    };
    lines.filter_map(pair).collect()
}

#[test]
fn the_configuration_of_compose_is_legal() {
    let secrets = tempfile::tempdir().unwrap();
    for (name, text) in [("loa_system_key", "k"), ("loa_store_url", "postgres://loa:p@postgres/loa_{role}")] {
        fs::write(secrets.path().join(name), text).unwrap();
        assert!(compose("compose.yaml").contains(&format!("  {name}: {{file: ")), "{name} is a secret of compose.yaml");
    }
    let file = compose("loa.toml").replace(SECRETS, &secrets.path().display().to_string());
    for service in ["loa-1", "loa-2"] {
        let variables = variables(service);
        assert!(variables.len() >= 3, "{variables:?}");
        let mut layers = Layers::default();
        layers.add_toml("loa.default.toml", DEFAULT, true).unwrap();
        layers.add_toml("loa.toml", &file, false).unwrap();
        layers.add_variables(variables);
        let config = Config::check(&layers).unwrap_or_else(|faults| panic!("{service}: {faults}"));
        assert_eq!(config.node.name, service);
        assert!(matches!((&config.log, &config.store), (LogConfig::Kafka(_), StoreConfig::Postgres(_))));
        assert_eq!(config.audience.snapshots, Some(PathBuf::from("/srv/loa/snapshots")));
    }
}

#[test]
fn every_role_has_its_database() {
    let made = compose("postgres/databases.sql") + &compose("compose.yaml");
    for role in loa::compose::WITH_STORE {
        assert!(made.contains(&format!("loa_{role}")), "no database of {role}");
    }
}
