//! The sinks of a site that are all somebody else's: message centres and Postfix. What they have accepted is the book that
//! Loa's ledger is compared with.
//!
//! Must stay true: nothing here was written by who wrote the ledger, but for the thin programs that drive the libraries.

use async_trait::async_trait;
use loa_harness::Fault;
use loa_harness::sims::{SinkBooks, Sinks};

use crate::node_smpp;
use crate::postfix::Postfix;
use crate::sink::Sink;

/// The accounts of a site.
const ACCOUNTS: [&str; 2] = ["sim-a", "sim-b"];

/// Running sinks.
pub struct ThirdParty {
    carriers: Vec<Sink>,
    postfix: Postfix,
}

impl ThirdParty {
    /// One node-smpp for both accounts, and Postfix.
    pub async fn start() -> Result<Self, Fault> {
        Self::with(vec![node_smpp::start().await?]).await
    }

    /// These message centres, one for each account or one for both, and Postfix.
    pub async fn with(carriers: Vec<Sink>) -> Result<Self, Fault> {
        Ok(Self { carriers, postfix: Postfix::start().await? })
    }

    /// The message centre of an account: 0 is that of `sim-a`, 1 that of `sim-b`.
    pub fn carrier(&self, account: usize) -> &Sink {
        &self.carriers[account % self.carriers.len()]
    }

    /// The mail server.
    pub fn postfix(&self) -> &Postfix {
        &self.postfix
    }
}

#[async_trait(?Send)]
impl Sinks for ThirdParty {
    fn settings(&self) -> Vec<(String, String)> {
        let accounts = (0..).zip(ACCOUNTS);
        let accounts = accounts
            .map(|(at, account)| (format!("sms.account.{account}.address"), self.carrier(at).addr().to_string()));
        let relay = ("email.relay.sim-mail.address".to_owned(), self.postfix.addr().to_string());
        accounts.chain([relay]).collect()
    }

    fn accepted(&self) -> Result<(u64, u64), Fault> {
        let texts = self.carriers.iter().map(Sink::accepted).sum::<Result<u64, Fault>>()?;
        Ok((texts, self.postfix.accepted()?))
    }

    async fn books(&self) -> Result<SinkBooks, Fault> {
        let mut sms = Vec::new();
        for carrier in &self.carriers {
            sms.extend(carrier.lines()?);
        }
        Ok(SinkBooks { sms, mail: self.postfix.lines().await? })
    }
}
