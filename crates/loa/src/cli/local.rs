//! Commands that work on this machine's configuration and data: run, check, config show, topics, db.

use loa_contract::topics;
use loa_runtime::Role;
use loa_runtime::config::{Config, DEFAULT, DEV, LayerError, Layers, Origin};
use serde_json::json;

use super::args::{ConfigCommand, DbCommand, Global, RunArgs, TopicsCommand};
use super::text::{note, say};
use crate::compose;
use crate::exit::Failure;

/// Ends of keys whose values are never shown.
const SECRETS: [&str; 4] = ["password", "key_sha256", "system_key", ".url"];

/// The merged layers of this command; `dev` lays the simulators over the default.
pub fn layers(global: &Global, dev: bool) -> Result<Layers, Failure> {
    let fault = |error: LayerError| Failure::Usage(error.to_string());
    let mut layers = Layers::default();
    layers.add_toml("loa.default.toml", DEFAULT, true).map_err(fault)?;
    if dev {
        layers.add_toml("loa.dev.toml", DEV, true).map_err(fault)?;
    }
    if let Some(path) = &global.config {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("--config `{}`: {error}", path.display())))?;
        layers.add_toml(&path.display().to_string(), &text, false).map_err(fault)?;
    }
    layers.add_variables(Config::variables());
    if let Some(data) = &global.data {
        layers.set("node.data", toml::Value::String(data.display().to_string()), Origin::Argument("--data"));
    }
    Ok(layers)
}

/// The checked configuration, or every fault.
pub fn checked(layers: &Layers) -> Result<Config, Failure> {
    Config::check(layers).map_err(|faults| Failure::Usage(faults.to_string()))
}

/// `loa run`
pub async fn run(global: &Global, args: RunArgs) -> Result<(), Failure> {
    let roles = roles(&args.roles)?;
    let config = checked(&layers(global, false)?)?;
    if config.dispatch.demo_hours && config.sms.accounts.iter().any(|account| !account.simulator) {
        return Err(Failure::Usage(
            "dispatch.demo_hours is for simulators alone; a real account is configured".to_owned(),
        ));
    }
    let cluster = compose::compose(config, &roles, compose::Options::default()).await?;
    note(format!("loa listens on {}", cluster.addresses.grpc));
    cluster.serve(loa_runtime::supervise::signals()).await
}

fn roles(texts: &[String]) -> Result<Vec<Role>, Failure> {
    if texts.iter().any(|text| text == "all") {
        return Ok(Role::ALL.to_vec());
    }
    texts
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|error: loa_runtime::role::UnknownRole| Failure::Usage(error.to_string()))
}

/// `loa check`
pub async fn check(global: &Global) -> Result<(), Failure> {
    let config = checked(&layers(global, false)?)?;
    say(format!(
        "the configuration is legal: node {}, {} users, {} carrier accounts, {} relays",
        config.node.name,
        config.users.len(),
        config.sms.accounts.len(),
        config.email.relays.len()
    ));
    if config.users.is_empty() {
        note("no [[user]] is configured: only `loa dev`, which makes demo users, can be used");
    }
    let mut faults = Vec::new();
    for reached in compose::reach(&config).await {
        match reached.fault {
            None => say(format!("{}: answers", reached.part)),
            Some(fault) => faults.push(format!("{}: {fault}", reached.part)),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Away(faults.join("\n"))) }
}

/// `loa config …`
pub fn config(global: &Global, command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Show = command;
    let layers = layers(global, false)?;
    let mut values = Vec::new();
    flatten("", &toml::Value::Table(layers.table.clone()), &mut values);
    for (key, value) in values {
        let secret = SECRETS.iter().any(|end| key.ends_with(end));
        let shown = if secret { "***".to_owned() } else { value.to_string() };
        match global.json {
            true => say(json!({"key": key, "value": shown, "from": layers.origin(&key).to_string()}).to_string()),
            false => say(format!("{key} = {shown}    # {}", layers.origin(&key))),
        }
    }
    checked(&layers).map(drop)
}

fn flatten(prefix: &str, value: &toml::Value, out: &mut Vec<(String, toml::Value)>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, out);
            }
        }
        value => out.push((prefix.to_owned(), value.clone())),
    }
}

/// `loa topics …`
pub async fn topics(global: &Global, command: TopicsCommand) -> Result<(), Failure> {
    match command {
        TopicsCommand::List => {
            say(topics::markdown().trim_end());
            Ok(())
        }
        TopicsCommand::Apply => {
            let config = checked(&layers(global, false)?)?;
            compose::apply_topics(&config).await?.iter().for_each(say);
            say(format!("{} topics are as declared", topics::ALL.len()));
            Ok(())
        }
        TopicsCommand::Lag => {
            let config = checked(&layers(global, false)?)?;
            for (reader, topic, behind) in compose::lag(&config).await? {
                match global.json {
                    true => say(json!({"reader": reader, "topic": topic, "behind": behind}).to_string()),
                    false => say(format!("{reader:<16} {topic:<20} {behind:>10}")),
                }
            }
            Ok(())
        }
    }
}

/// `loa db …`
pub async fn db(global: &Global, command: &DbCommand) -> Result<(), Failure> {
    let DbCommand::Migrate = command;
    let config = checked(&layers(global, false)?)?;
    for role in compose::migrate(&config).await? {
        say(format!("{role}: up to date"));
    }
    Ok(())
}
