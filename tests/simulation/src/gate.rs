//! The gate of one process: everything it says to the world, and hears of it, goes through here.
//!
//! A killed process never gets an answer again, so nothing that it does is seen; a frozen one gets its answers when it is
//! woken, and its clock stands still until then. What its tasks do between two calls while it is frozen is what they would have
//! done a moment before: they learn nothing new, not even the time.
//!
//! Must stay true: no effect of a process on the world begins or is answered while its gate is not open.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_ports::clock::{Clock, SystemClock};
use loa_testkit::dice::Dice;
use tokio::sync::watch;

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    Frozen,
    Dead,
}

/// The gate.
#[derive(Debug)]
pub(crate) struct Gate {
    life: watch::Sender<Life>,
    dice: Mutex<Dice>,
    freezes: AtomicU64,
    /// After so many further calls it becomes so.
    armed: Mutex<Option<(u64, Life)>>,
}

impl Gate {
    pub(crate) fn new(seed: u64, stream: u64) -> Arc<Self> {
        let dice = Mutex::new(Dice::new(seed, stream));
        Arc::new(Self {
            life: watch::Sender::new(Life::Runs),
            dice,
            freezes: AtomicU64::new(0),
            armed: Mutex::new(None),
        })
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// A dead process stays dead.
    pub(crate) fn set(&self, life: Life) {
        if self.life() == Life::Dead {
            return;
        }
        if life == Life::Frozen {
            self.freezes.fetch_add(1, Ordering::Relaxed);
        }
        self.life.send_replace(life);
    }

    /// It is killed or frozen at one of its next calls: before what that does, or before it is answered.
    pub(crate) fn set_within(&self, calls: u64, life: Life) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((calls, life));
    }

    /// It is woken; a freeze that has not come yet does not come: nobody would wake it.
    pub(crate) fn wake(&self) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(_, life)| *life == Life::Frozen);
        self.set(Life::Runs);
    }

    fn count(&self) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        match armed.as_mut() {
            Some((0, life)) => {
                let life = *life;
                *armed = None;
                self.set(life);
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
    }

    /// How often it was frozen so far.
    pub(crate) fn freezes(&self) -> u64 {
        self.freezes.load(Ordering::Relaxed)
    }

    /// Resolves when the process runs: at once, when it is woken, or never.
    pub(crate) async fn pass(&self) {
        let mut life = self.life.subscribe();
        let _gone = life.wait_for(|life| *life == Life::Runs).await;
    }

    /// Resolves when the process was killed.
    pub(crate) async fn died(&self) {
        let mut life = self.life.subscribe();
        let _gone = life.wait_for(|life| *life == Life::Dead).await;
    }

    /// Resolves when the process does not run any more, or after that time.
    pub(crate) async fn stops_within(&self, time: Duration) {
        let mut life = self.life.subscribe();
        let _late = tokio::time::timeout(time, life.wait_for(|life| *life != Life::Runs)).await;
    }

    /// The way to a server or back: mostly no time, sometimes milliseconds, seldom more than a second.
    pub(crate) async fn travel(&self) {
        self.count();
        let ms = self.throw(|dice| match dice.below(200) {
            0 => dice.below(1_500),
            1..20 => dice.below(20),
            _ => 0,
        });
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        self.pass().await;
    }

    pub(crate) fn throw<R>(&self, f: impl FnOnce(&mut Dice) -> R) -> R {
        f(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The clock of one process.
#[derive(Debug)]
pub(crate) struct GateClock {
    machine: Arc<SystemClock>,
    gate: Arc<Gate>,
    shown_us: AtomicI64,
}

impl GateClock {
    pub(crate) fn new(machine: Arc<SystemClock>, gate: Arc<Gate>) -> Self {
        Self { machine, gate, shown_us: AtomicI64::new(0) }
    }
}

impl Clock for GateClock {
    fn now_us(&self) -> i64 {
        let monotonic = i64::try_from(self.monotonic().as_micros()).unwrap_or(i64::MAX);
        let machine = i64::try_from(self.machine.monotonic().as_micros()).unwrap_or(i64::MAX);
        self.machine.now_us() - (machine - monotonic)
    }

    fn monotonic(&self) -> Duration {
        if self.gate.life() == Life::Runs {
            let us = i64::try_from(self.machine.monotonic().as_micros()).unwrap_or(i64::MAX);
            self.shown_us.store(us, Ordering::Relaxed);
        }
        Duration::from_micros(self.shown_us.load(Ordering::Relaxed).unsigned_abs())
    }
}
