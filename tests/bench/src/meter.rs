//! What a step took: time by the machine's clock, CPU as the kernel counts it.

use std::time::{Duration, Instant};

use loa_harness::{Fault, usage};

use crate::figures::{Cpu, Figure};
use crate::world::World;

/// Time and CPU since it was started.
pub(crate) struct Meter {
    at: Instant,
    loa: Duration,
    own: Duration,
    parts: Option<Duration>,
}

/// What a step is to reach, in words and as a rule over messages a second and CPU microseconds each.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) words: &'static str,
    pub(crate) met: fn(f64, f64) -> bool,
}

impl Meter {
    #[allow(clippy::disallowed_methods, reason = "a bench measures the machine's time")]
    pub(crate) fn start(world: &mut World) -> Result<Self, Fault> {
        let (loa, parts) = (usage::cpu(world.site.process()?.pid())?, world.parts_cpu()?);
        Ok(Self { at: Instant::now(), loa, own: usage::cpu(std::process::id())?, parts })
    }

    /// Time since the start.
    pub(crate) fn measured(&self) -> Duration {
        self.at.elapsed()
    }

    /// The figure of `n` messages that took `measured`; their CPU is what was used until now.
    #[allow(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    pub(crate) fn figure(
        self,
        world: &mut World,
        (name, n): (&'static str, u64),
        measured: Duration,
        goal: Goal,
    ) -> Result<Figure, Fault> {
        let seconds = measured.as_secs_f64();
        let pid = world.site.process()?.pid();
        let each = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() * 1e6 / n as f64;
        let (loa, sink) = (each(usage::cpu(pid)?, self.loa), each(usage::cpu(std::process::id())?, self.own));
        let parts = world.parts_cpu()?.zip(self.parts).map(|(now, before)| each(now, before));
        let per_second = n as f64 / seconds;
        let cpu_us_per_message = Cpu { loa, sink: Some(sink), parts };
        let rss_mib_peak = usage::memory_kib(pid, "VmHWM")? / 1_024;
        let met = (goal.met)(per_second, loa);
        Ok(Figure {
            name,
            n,
            seconds,
            per_second,
            cpu_us_per_message,
            rss_mib_peak,
            raw: None,
            wait: None,
            goal: goal.words,
            met,
        })
    }
}
