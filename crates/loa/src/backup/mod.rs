//! `loa backup`: everything that must not be lost, copied while it runs.
//!
//! The installation is held: dispatch releases nothing, gateways give back what has not left, the ledger stores what it has
//! read. Then every store is copied, or kept readable as it is at that moment, in an order in which who reads is copied
//! after who writes; and only then it goes on.
//!
//! Must stay true: a folder with a manifest is a backup in which nothing was in the air; whenever that is not certain there
//! is no manifest and the command fails.

mod drain;
mod files;
mod hold;
mod postgres;
pub mod restore;
mod snapshots;

use std::path::{Path, PathBuf};
use std::time::Duration;

use loa_ports::clock::{Clock as _, SystemClock};
use loa_runtime::Role;
use loa_runtime::config::{Config, LogConfig, StoreConfig};
use loa_runtime::supervise::signals;
use loa_store::Still;
use serde_json::json;

use crate::cli::args::{BackupArgs, Global};
use crate::cli::client::Client;
use crate::cli::local;
use crate::cli::text::{Lang, note, say};
use crate::compose::{self, Beside, SNAPSHOTS};
use crate::exit::Failure;
use files::Manifest;
use hold::Hold;

/// Stores in a backup.
const STORES: &str = "stores";
const LOG: &str = "log.db";
const HASH_KEY: &str = "hash.key";
const KEYS: &str = "keys.toml";

/// Does what was typed.
pub async fn run(global: &Global, args: BackupArgs) -> Result<(), Failure> {
    let config = local::checked(&local::layers(global, false)?)?;
    files::empty_folder(&args.to, "--to")?;
    files::private(&args.to)?;
    let installation = Beside::open(&config).await?;
    let server = installation.server_version().await?;
    if server > 0 {
        postgres::is_fit("pg_dump", server).await?;
    }
    let taking = Taking { installation: &installation, config: &config, to: &args.to };
    let made = make(global, args.stay_held, &taking).await;
    installation.close().await;
    match made {
        Ok(Some(hold)) => until_stopped(Lang::of(global), hold).await,
        Ok(None) => Ok(()),
        Err(failure) => {
            // What is there is no backup, and holds everything about people.
            files::clear(&args.to)?;
            Err(failure)
        }
    }
}

/// Makes the backup; gives the hold back if it shall stay.
async fn make(global: &Global, stay_held: bool, taking: &Taking<'_>) -> Result<Option<Hold>, Failure> {
    let (lang, clock) = (Lang::of(global), SystemClock::new());
    note(
        lang.pick("đang giữ hệ thống: tạm thời không gửi gì", "holding the installation: nothing is sent for a moment"),
    );
    let mut hold = Hold::begin(Client::new(global)?, "backup").await?;
    let taken = match keeping(&mut hold, taking.take()).await {
        Ok(taken) => hold.was_kept().await.map(|()| taken),
        Err(failure) => Err(failure),
    };
    let (manifest, held_for, hold) = match (taken, stay_held) {
        (Ok(taken), true) => {
            let manifest = keeping(&mut hold, taking.rest(taken)).await?;
            (manifest, clock.monotonic(), Some(hold))
        }
        (taken, _) => {
            let ended = hold.end().await;
            let held_for = clock.monotonic();
            if let Err(failure) = ended {
                note(format!("! {failure}"));
            }
            (taking.rest(taken?).await?, held_for, None)
        }
    };
    told(global, taking.to, &manifest, held_for);
    Ok(hold)
}

/// Works while the hold is kept; a hold that may have been lost ends the work.
async fn keeping<T>(hold: &mut Hold, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        result = work => result,
        failure = hold.keep() => Err(failure),
    }
}

/// The copy is made, and the original shall not go on.
async fn until_stopped(lang: Lang, mut hold: Hold) -> Result<(), Failure> {
    note(lang.pick(
        "bản sao đã xong; hệ thống vẫn bị giữ: dừng bản gốc, rồi Ctrl-C",
        "the backup is whole; the installation stays held: stop the original, then press Ctrl-C",
    ));
    tokio::select! {
        () = signals() => {}
        // Stopped: there is nobody to hold any more.
        _ = hold.keep() => return Ok(()),
    }
    hold.end().await
}

fn told(global: &Global, to: &Path, manifest: &Manifest, held_for: Duration) {
    let (lang, mib) = (Lang::of(global), manifest.bytes().div_ceil(1 << 20));
    let (files, held_ms) = (manifest.files.len(), u64::try_from(held_for.as_millis()).unwrap_or(u64::MAX));
    if global.json {
        let to = to.display().to_string();
        return say(json!({"backup": to, "files": files, "bytes": manifest.bytes(), "held_ms": held_ms}).to_string());
    }
    let whole = lang.pick("bản sao đầy đủ", "the backup is whole");
    let seconds = held_for.as_secs_f64();
    say(format!("{whole}: {} ({files} files, {mib} MiB); {seconds:.1} s", to.display()));
}

/// What is copied from where to where.
struct Taking<'a> {
    installation: &'a Beside,
    config: &'a Config,
    to: &'a Path,
}

/// What was taken under the hold.
struct Taken {
    at_us: i64,
    /// Databases that are dumped as they were at that moment.
    stills: Vec<(Role, Still)>,
}

impl Taking<'_> {
    fn stores(&self) -> PathBuf {
        self.to.join(STORES)
    }

    /// Under the hold: waits until nothing is under way, then takes stores and log. Audience first, since its opt-outs must
    /// be known to dispatch; registry last, since it tells everything anew.
    async fn take(&self) -> Result<Taken, Failure> {
        let said = drain::drained(self.installation).await?;
        let at_us = SystemClock::new().now_us();
        std::fs::create_dir(self.stores())?;
        let mut stills = Vec::new();
        for role in [Role::Audience, Role::Sms, Role::Email, Role::Dispatch, Role::Report] {
            drain::caught_up(self.installation, role).await?;
            stills.extend(self.installation.take(role, &self.stores()).await?.map(|still| (role, still)));
        }
        self.installation.take_log(&self.to.join(LOG)).await?;
        let role = Role::Registry;
        stills.extend(self.installation.take(role, &self.stores()).await?.map(|still| (role, still)));
        drain::stood_still(self.installation, &said).await?;
        Ok(Taken { at_us, stills })
    }

    /// What does not change any more: dumps of what was kept readable, files that are never written again, keys.
    async fn rest(&self, taken: Taken) -> Result<Manifest, Failure> {
        for (role, still) in &taken.stills {
            let url = self.config.store.url(*role).unwrap_or_default();
            postgres::dump(&url, &still.name, &self.stores().join(format!("{role}.dump"))).await?;
        }
        drop(taken.stills);
        let data = &self.config.node.data;
        let (folder, shelf) = (compose::snapshots_folder(self.config), compose::shelf(self.config)?);
        let hash_key = self.config.node.hash_key.clone().unwrap_or_else(|| data.join(HASH_KEY));
        let (keys, to) = (data.join(KEYS), self.to.to_owned());
        let log = if matches!(self.config.log, LogConfig::Embedded) { "embedded" } else { "kafka" };
        let store = if matches!(self.config.store, StoreConfig::Sqlite) { "sqlite" } else { "postgres" };
        let manifest = Manifest::new(taken.at_us, log, store);
        let copying = tokio::task::spawn_blocking(move || {
            snapshots::take(&folder, shelf.as_deref(), &to.join(SNAPSHOTS))?;
            files::copy(&hash_key, &to.join(HASH_KEY))?;
            if keys.exists() {
                files::copy(&keys, &to.join(KEYS))?;
            }
            manifest.write(&to)
        });
        copying.await.map_err(|error| Failure::Failed(format!("copying did not end well: {error}")))?
    }
}
