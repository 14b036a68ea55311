//! Faults have names: whatever Loa rests on goes away, sending stops within two seconds (or goes on where it may), the
//! operator reads which fault it is on the screen and on /ready, nothing is lost, and it goes on by itself.

mod carrier;
mod clock;
mod disk;
mod log;
mod objects;
mod redis;
mod store;

use std::time::Duration;

use loa_harness::clock::unix_us;
use loa_harness::{Fault, Plan, Site, TestResult, fault, say, wait_for};
use loa_real::Parts;

use crate::stopped::nothing_leaves_after;

/// How long a fault may stay unnamed, on a machine with much else to do.
const NAMED_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take to go on.
const GONE_LIMIT: Duration = Duration::from_secs(60);
/// Messages that must leave after a fault before it counts as gone.
const GOES_ON: u64 = 20;

/// A campaign under way at two processes on servers of their own; some messages have left.
pub(crate) async fn under_way(people: u64) -> Result<(Parts, Site, String), Fault> {
    let parts = Parts::start(1).await?;
    let mut site = parts.site()?.rate(150).start().await?;
    site.people(people).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;
    Ok((parts, site, id))
}

/// A fault from its beginning.
pub(crate) struct Begun {
    code: &'static str,
    at_us: u64,
    /// Lines that had the code before: what instances in this process print is kept together.
    lines: usize,
}

impl Begun {
    /// Notes what was said before it begins.
    pub(crate) async fn now(site: &Site, code: &'static str) -> Result<Self, Fault> {
        Ok(Self { code, lines: lines_of(&site.printed().await?, code), at_us: unix_us() })
    }

    /// Waits until every process that runs names it on /ready, with this status, and it stands on the screen.
    pub(crate) async fn is_named(&self, site: &Site, status: u16) -> TestResult {
        let Self { code, at_us, lines } = self;
        wait_for("the fault is named on /ready", NAMED_LIMIT, async || {
            let answers = site.ready().await?;
            let names = |(found, text): &(u16, String)| *found == status && text.contains(code);
            if answers.iter().all(names) { Ok(Some(())) } else { Err(fault(format!("{answers:?}"))) }
        })
        .await?;
        say(format!("{code} on /ready after {} ms", (unix_us() - at_us) / 1_000));
        wait_for("the fault is named on the screen", NAMED_LIMIT, async || {
            let printed = site.printed().await?;
            Ok((lines_of(&printed, code) > *lines).then_some(()))
        })
        .await
    }

    /// Nothing is handed over later than two seconds after it began; how many messages were by then.
    pub(crate) async fn stops_everything(&self, site: &Site) -> Result<u64, Fault> {
        nothing_leaves_after(site, self.at_us).await
    }

    /// Waits until nobody names it any more and messages leave again.
    pub(crate) async fn is_gone(&self, site: &Site) -> TestResult {
        let since_us = unix_us();
        let before = accepted(site);
        wait_for("the fault is gone from /ready", GONE_LIMIT, async || {
            let answers = site.ready().await?;
            let is_well = |(found, text): &(u16, String)| *found == 200 && !text.contains(self.code);
            if answers.iter().all(is_well) { Ok(Some(())) } else { Err(fault(format!("{answers:?}"))) }
        })
        .await?;
        let again = async || Ok((accepted(site) >= before + GOES_ON).then_some(()));
        wait_for("messages leave again", GONE_LIMIT, again).await?;
        say(format!("{} is gone and messages leave {} ms later", self.code, (unix_us() - since_us) / 1_000));
        Ok(())
    }
}

/// Messages that both sinks have accepted.
pub(crate) fn accepted(site: &Site) -> u64 {
    let (sms, mail) = site.sims.accepted();
    sms + mail
}

/// Log lines with a code.
fn lines_of(printed: &str, code: &str) -> usize {
    printed.lines().filter(|line| line.contains(code)).count()
}
