//! The world of a site: a carrier, a mail server, and their books; simulated ones, unless a test brings somebody else's.
//!
//! Must stay true: a book is written by who accepted the messages, and knows nothing of Loa's ledger.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use loa_sim::log::{LogLine, SinkLog, lines};
use loa_sim::mail::{MailConfig, MailWorld};
use loa_sim::smsc::{Receipts, Smsc, SmscConfig};
use tokio::net::TcpListener;

use crate::Fault;

/// What the sinks of a site have accepted.
#[derive(Debug, Default)]
pub struct SinkBooks {
    /// Every part of a text.
    pub sms: Vec<LogLine>,
    /// Every mail, a line for each recipient.
    pub mail: Vec<LogLine>,
}

/// A carrier and a mail server, whoever made them.
#[async_trait(?Send)]
pub trait Sinks: Send + Sync {
    /// The settings by which a Loa finds them.
    fn settings(&self) -> Vec<(String, String)>;

    /// Parts and mails accepted so far, to see how far a run is.
    fn accepted(&self) -> Result<(u64, u64), Fault>;

    /// Everything that they have accepted.
    async fn books(&self) -> Result<SinkBooks, Fault>;
}

impl fmt::Debug for dyn Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.settings()).finish()
    }
}

/// Simulated carrier and mail server, in the process of the test.
pub struct Sims {
    /// The carrier of both accounts.
    pub smsc: Smsc,
    /// The relay.
    pub mail: MailWorld,
    sms_log: PathBuf,
    mail_log: PathBuf,
}

impl Sims {
    /// Listens on free ports and writes its books into the folder.
    pub async fn start(folder: &Path, receipts: Receipts) -> Result<Self, Fault> {
        let (sms_log, mail_log) = (folder.join("sms.log"), folder.join("mail.log"));
        let sink = |path: &Path| SinkLog::append_to(path).map(Arc::new);
        let smsc = SmscConfig { log: sink(&sms_log)?, receipts, ..SmscConfig::default() };
        let smsc = Smsc::start(TcpListener::bind("127.0.0.1:0").await?, smsc)?;
        let mail = MailConfig { log: sink(&mail_log)?, ..MailConfig::default() };
        let mail = MailWorld::start(TcpListener::bind("127.0.0.1:0").await?, mail)?;
        Ok(Self { smsc, mail, sms_log, mail_log })
    }

    /// Carrier and mail server are out of reach, in the middle of everything.
    pub async fn leave(&mut self) {
        self.smsc.leave().await;
        self.mail.leave().await;
    }

    /// Both can be reached again.
    pub async fn come_back(&mut self) -> Result<(), Fault> {
        self.smsc.come_back().await?;
        self.mail.come_back().await?;
        Ok(())
    }

    /// Texts and mails accepted so far.
    pub fn accepted(&self) -> (u64, u64) {
        (self.smsc.stats().accepted, self.mail.stats().accepted)
    }

    /// Every part the carrier accepted.
    pub fn sms_lines(&self) -> Result<Vec<LogLine>, Fault> {
        Ok(lines(&self.sms_log)?.collect::<Result<_, _>>()?)
    }

    /// Every mail the relay accepted.
    pub fn mail_lines(&self) -> Result<Vec<LogLine>, Fault> {
        Ok(lines(&self.mail_log)?.collect::<Result<_, _>>()?)
    }

    /// When the last message of either was accepted, microseconds since 1970; 0 = none.
    pub fn last_us(&self) -> Result<u64, Fault> {
        let last = |lines: Vec<LogLine>| lines.iter().map(|line| line.unix_us).max().unwrap_or(0);
        Ok(last(self.sms_lines()?).max(last(self.mail_lines()?)))
    }
}

#[async_trait(?Send)]
impl Sinks for Sims {
    fn settings(&self) -> Vec<(String, String)> {
        let set = |key: &str, value: String| (key.to_owned(), value);
        vec![
            set("sms.account.sim-a.address", self.smsc.addr().to_string()),
            set("sms.account.sim-b.address", self.smsc.addr().to_string()),
            set("email.relay.sim-mail.address", self.mail.addr().to_string()),
        ]
    }

    fn accepted(&self) -> Result<(u64, u64), Fault> {
        Ok(Self::accepted(self))
    }

    async fn books(&self) -> Result<SinkBooks, Fault> {
        Ok(SinkBooks { sms: self.sms_lines()?, mail: self.mail_lines()? })
    }
}
