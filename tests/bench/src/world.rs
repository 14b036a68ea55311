//! One Loa as a process, on the embedded default or on Apache Kafka, PostgreSQL and Redis of its own.
//!
//! Must stay true: the servers outlive the Loa; what they use is counted apart from it; each Loa finds topics and databases
//! that are new. All runs of a program have the same servers: only the first finds them cold, so a median is of warm ones.

use std::sync::Arc;
use std::time::Duration;

use loa_harness::{Fault, Site, SiteOptions, usage};
use loa_real::Parts;
use tokio::sync::OnceCell;

/// What a Loa runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// Everything in its process.
    Embedded,
    /// Servers on the same machine.
    Real,
}

/// A Loa and what it runs on.
pub(crate) struct World {
    pub(crate) site: Site,
    parts: Option<Arc<Parts>>,
}

/// The servers of all measurements of this program, and what was asked of every Loa on them.
#[derive(Default)]
pub(crate) struct Servers {
    parts: OnceCell<Arc<Parts>>,
    settings: Vec<String>,
}

impl Servers {
    /// Every Loa is started with these keys of its configuration, KEY=VALUE.
    pub(crate) fn with(settings: &[&str]) -> Self {
        Self { parts: OnceCell::new(), settings: settings.iter().map(|&setting| setting.to_owned()).collect() }
    }

    /// The keys, as figures name them.
    pub(crate) fn settings(&self) -> &[String] {
        &self.settings
    }
}

impl On {
    /// As figures name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Real => "real",
        }
    }

    /// Starts it with these settings.
    pub(crate) async fn start(
        self,
        servers: &Servers,
        with: impl FnOnce(SiteOptions) -> SiteOptions,
    ) -> Result<World, Fault> {
        let (parts, options) = match self {
            Self::Embedded => (None, SiteOptions::process()),
            Self::Real => {
                let parts = servers.parts.get_or_try_init(async || Parts::start(1).await.map(Arc::new)).await?.clone();
                let options = parts.alone().await?;
                (Some(parts), options)
            }
        };
        let options = with(options).set("telemetry.level", "info");
        let settings = servers.settings.iter().filter_map(|setting| setting.split_once('='));
        let site = settings.fold(options, |site, (key, value)| site.set(key, value)).start().await?;
        Ok(World { site, parts })
    }
}

impl World {
    /// User and system time of the servers so far; none where there are none.
    pub(crate) fn parts_cpu(&self) -> Result<Option<Duration>, Fault> {
        let Some(parts) = &self.parts else { return Ok(None) };
        let used = parts.pids().into_iter().map(usage::cpu_of_family).sum::<Result<Duration, Fault>>()?;
        Ok(Some(used))
    }

    /// Stops everything, after a comparison.
    pub(crate) async fn stop(self) -> Result<(), Fault> {
        self.site.end().await
    }

    /// Compares the books and stops everything.
    pub(crate) async fn finish(self) -> Result<(), Fault> {
        self.site.finish().await.map(drop)
    }
}
