//! `loa restore`: a backup put back into empty stores.
//!
//! Must stay true: nothing that is there is written over; a copy that was not put back whole does not start; nothing leaves
//! from a restored copy before a person has let it.

use std::path::Path;

use loa_runtime::config::{Config, LogConfig, StoreConfig};
use loa_store::is_empty;
use serde_json::json;

use super::files::{self, Manifest};
use super::{HASH_KEY, KEYS, LOG, STORES, postgres, snapshots};
use crate::cli::args::{Global, RestoreArgs};
use crate::cli::local;
use crate::cli::text::{Lang, note, say};
use crate::compose::{self, SNAPSHOTS, WITH_STORE, apply_topics, put_back, records_of};
use crate::exit::Failure;
use crate::place::UNFINISHED;

/// Does what was typed.
pub async fn run(global: &Global, args: RestoreArgs) -> Result<(), Failure> {
    let config = local::checked(&local::layers(global, false)?)?;
    let from = args.from.clone();
    note(Lang::of(global).pick("đang kiểm tra bản sao", "comparing the backup with its manifest"));
    let manifest = tokio::task::spawn_blocking(move || Manifest::read(&from)).await;
    let manifest = manifest.map_err(|error| Failure::Failed(error.to_string()))??;
    let target = Target { from: &args.from, config: &config, manifest: &manifest };
    target.must_be_empty().await?;
    std::fs::write(config.node.data.join(UNFINISHED), "")?;
    target.fill().await?;
    let restored = put_back(&config, target.has_own_log()).await?;
    std::fs::remove_file(config.node.data.join(UNFINISHED))?;
    if global.json {
        say(json!({"halted": restored.halted, "stopped": restored.stopped}).to_string());
        return Ok(());
    }
    let (halted, stopped) = (restored.halted.len(), restored.stopped.len());
    match Lang::of(global) {
        Lang::Vi => say(format!(
            "đã phục hồi; {halted} chiến dịch dừng (halted, restored), {stopped} mẫu tin đơn lẻ dừng; nếu bản gốc còn gửi sau bản sao thì hủy (cancel), đừng tiếp tục (resume)"
        )),
        Lang::En => say(format!(
            "restored; {halted} campaigns are halted (restored), {stopped} notices are stopped; cancel, do not resume, what the original went on to send after the backup"
        )),
    }
    restored.halted.iter().for_each(say);
    Ok(())
}

struct Target<'a> {
    from: &'a Path,
    config: &'a Config,
    manifest: &'a Manifest,
}

impl Target<'_> {
    fn data(&self) -> &Path {
        &self.config.node.data
    }

    /// Whether the log of the backup is put back with its stores.
    fn has_own_log(&self) -> bool {
        self.manifest.log == "embedded" && matches!(self.config.log, LogConfig::Embedded)
    }

    /// Refuses what would be written over, and stores of another kind.
    async fn must_be_empty(&self) -> Result<(), Failure> {
        let kind = if matches!(self.config.store, StoreConfig::Sqlite) { "sqlite" } else { "postgres" };
        if kind != self.manifest.store {
            let was = &self.manifest.store;
            return Err(Failure::Usage(format!(
                "store.kind is `{kind}` and the backup is of `{was}`; set store.kind = \"{was}\""
            )));
        }
        files::empty_folder(self.data(), "--data")?;
        files::empty_folder(&compose::snapshots_folder(self.config), "audience.snapshots")?;
        let shelf = compose::shelf(self.config)?;
        let looking = tokio::task::spawn_blocking(move || snapshots::must_be_empty(shelf.as_deref()));
        looking.await.map_err(|error| Failure::Failed(error.to_string()))??;
        for role in WITH_STORE {
            let Some(url) = self.config.store.url(role) else { continue };
            if !is_empty(&url).await.map_err(|error| Failure::of(&error))? {
                return Err(Failure::Usage(format!(
                    "store.url: the database of {role} has tables; make an empty one (createdb) and name it"
                )));
            }
        }
        if let LogConfig::Kafka(_) = self.config.log {
            apply_topics(self.config).await?;
            if let Some(topic) = records_of(self.config).await?.first() {
                return Err(Failure::Usage(format!(
                    "log.prefix: topic {} holds records already; they are not of this copy: name another prefix, or delete the topics",
                    topic.name
                )));
            }
        }
        self.hash_key_is_free()
    }

    /// A hash key that is there must be the one of the backup.
    fn hash_key_is_free(&self) -> Result<(), Failure> {
        let Some(path) = self.config.node.hash_key.as_ref().filter(|path| path.exists()) else { return Ok(()) };
        if std::fs::read(path)? == std::fs::read(self.from.join(HASH_KEY))? {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "node.hash_key: `{}` is not the key of the backup; move it away, the backup's own is put there",
            path.display()
        )))
    }

    async fn fill(&self) -> Result<(), Failure> {
        let (from, data) = (self.from.to_owned(), self.data().to_owned());
        let hash_key = self.config.node.hash_key.clone().unwrap_or_else(|| data.join(HASH_KEY));
        let (folder, shelf) = (compose::snapshots_folder(self.config), compose::shelf(self.config)?);
        let has_own_log = self.has_own_log();
        let is_sqlite = matches!(self.config.store, StoreConfig::Sqlite);
        let copying = tokio::task::spawn_blocking(move || {
            if is_sqlite {
                for role in WITH_STORE {
                    let name = format!("{role}.db");
                    files::copy(&from.join(STORES).join(&name), &data.join(&name))?;
                }
            }
            if has_own_log {
                files::copy(&from.join(LOG), &data.join(LOG))?;
            }
            if !hash_key.exists() {
                files::copy(&from.join(HASH_KEY), &hash_key)?;
            }
            if from.join(KEYS).exists() {
                files::copy(&from.join(KEYS), &data.join(KEYS))?;
            }
            snapshots::put_back(&from.join(SNAPSHOTS), &folder, shelf.as_deref())
        });
        copying.await.map_err(|error| Failure::Failed(error.to_string()))??;
        if is_sqlite {
            return Ok(());
        }
        for role in WITH_STORE {
            let url = self.config.store.url(role).unwrap_or_default();
            postgres::restore(&url, &self.from.join(STORES).join(format!("{role}.dump"))).await?;
        }
        Ok(())
    }
}
