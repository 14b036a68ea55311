//! The mailer against servers: scripted ones in memory, and the simulated mail world over loopback.

mod scripted;
mod tls;
mod world;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use loa_domain::ids::AccountId;
use loa_ports::carrier::Pulled;
use loa_ports::clock::SystemClock;
use loa_ports::mailer::{Mail, MailResult, MailSource, MailVerdict, Relay, TlsPolicy};
use loa_runtime::Ctx;
use tokio::sync::Notify;

use crate::{SmtpMailer, Timeouts};

/// Longest wait for a condition.
const LIMIT: Duration = Duration::from_secs(30);

/// A gateway in small: mails wait in order, results are kept in the order they came.
#[derive(Default)]
struct Letters {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Mail>,
    pulled: usize,
    results: Vec<MailResult>,
    connections: Vec<Result<(), String>>,
    /// Every pull says: ask again after this time.
    pace: Option<Duration>,
    /// What `may_leave` answers is "no".
    held: bool,
    /// What was not handed over goes to the end of the queue again.
    again: bool,
}

impl Letters {
    fn of(recipients: impl IntoIterator<Item = String>) -> Arc<Self> {
        let letters = Self::default();
        letters.lock().queue.extend(recipients.into_iter().zip(1..).map(|(to, handle)| letter(handle, &to)));
        Arc::new(letters)
    }

    fn count(mails: u64) -> Arc<Self> {
        Self::of((1..=mails).map(address))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }

    fn add(&self, mail: Mail) {
        self.lock().queue.push_back(mail);
        self.changed.notify_waiters();
    }

    /// Waits until `count` mails are answered and gives the verdicts by handle.
    async fn verdicts(&self, count: usize) -> Vec<MailVerdict> {
        eventually("all mails are answered", || self.lock().results.len() >= count).await;
        let mut results = self.lock().results.clone();
        assert_eq!(results.len(), count, "each mail is answered once");
        results.sort_by_key(|result| result.handle);
        results.into_iter().map(|result| result.verdict).collect()
    }
}

#[async_trait]
impl MailSource for Letters {
    fn pull(&self, room: usize, out: &mut Vec<Mail>) -> Pulled {
        let mut state = self.lock();
        let count = room.min(state.queue.len());
        state.pulled += count;
        out.extend(state.queue.drain(..count));
        match (state.pace, state.queue.is_empty()) {
            (_, true) => Pulled::Empty,
            (Some(pace), _) => Pulled::Paced(pace),
            (None, _) => Pulled::Full,
        }
    }

    fn may_leave(&self, _handle: u64) -> bool {
        !self.lock().held
    }

    async fn ready(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.lock().queue.is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn settled(&self, results: &mut Vec<MailResult>) {
        let mut state = self.lock();
        for result in results.drain(..) {
            if state.again && matches!(result.verdict, MailVerdict::NotWritten { .. }) {
                state.queue.push_back(letter(result.handle, &address(result.handle)));
            } else {
                state.results.push(result);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn connection_changed(&self, _slot: u32, state: Result<(), String>) {
        self.lock().connections.push(state);
    }
}

fn address(number: u64) -> String {
    format!("p{number}@example.test")
}

fn letter(handle: u64, to: &str) -> Mail {
    let data = format!("Subject: mail {handle}\r\nTo: {to}\r\n\r\nXin chao {handle}\r\n.\r\n");
    Mail { handle, from: format!("b+{handle}@bounce.example.test"), to: to.to_owned(), data: data.into() }
}

fn relay(address: &str) -> Relay {
    Relay {
        id: AccountId::new("relay").expect("an id"),
        address: address.to_owned(),
        hello: "loa.example.test".to_owned(),
        tls: TlsPolicy::Off,
        mails_per_connection_max: 1_000,
        pipeline: 1,
        reply_timeout: LIMIT,
    }
}

fn mailer() -> SmtpMailer {
    SmtpMailer::new(Ctx::test(Arc::new(SystemClock::new()), "test")).with_timeouts(Timeouts::default())
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "not in time: {what}");
}
