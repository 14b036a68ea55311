//! The email gateway from a release to its settlements, with a mail server made for the test.
//!
//! Must stay true: what the server took and what the settlements say are one book.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::topics::EmailNormalTopic;
use loa_domain::channel::Channel;
use loa_domain::hash::HashKey;
use loa_domain::ids::{AccountId, CampaignId};
use loa_domain::state::Reason;
use loa_email::{EmailGateway, EmailPorts};
use loa_embedded::EmbeddedLog;
use loa_gateway::{LocalBucket, Registry, RegistryAway};
use loa_ports::carrier::Pulled;
use loa_ports::clock::SystemClock;
use loa_ports::log::Log;
use loa_ports::mailer::{
    Composed, Composer, Connection, LetterParts, Letterhead, Mail, MailResult, MailSource, MailVerdict, Mailer, Relay,
    Stationery, TlsPolicy,
};
use loa_runtime::config::{EmailConfig, EmailRelay};
use loa_runtime::control::ControlView;
use loa_runtime::{Ctx, record};
use loa_store::{Db, SqlClaims, SqlLeases};
use loa_testkit::eventually;
use loa_testkit::gateway::{self, Line, Running, SHARD, Talk, campaign_runs};

/// Writes what would be in the mail, one field a line.
#[derive(Debug)]
struct Plain;

struct Sheet {
    from: String,
    fixed: Option<String>,
}

impl Composer for Plain {
    fn letterhead(&self, head: &Letterhead<'_>) -> Result<Arc<dyn Stationery>, String> {
        let from = format!("{} <{}>", head.sender_name, head.sender);
        Ok(Arc::new(Sheet { from, fixed: head.subject.map(str::to_owned) }))
    }
}

impl Stationery for Sheet {
    fn compose(&self, letter: &LetterParts<'_>) -> Result<Composed, String> {
        let subject = self.fixed.as_deref().unwrap_or(letter.subject);
        let data = format!("{}\n{subject}\n{}\n{}", self.from, letter.text, letter.html);
        Ok(Composed { return_path: format!("b+{}@example.test", letter.token[23]), data: data.into() })
    }
}

/// A server that answers by the mailbox.
struct Server {
    ctx: Ctx,
    taken: Arc<Mutex<Vec<Mail>>>,
    verdict: fn(&Mail, usize) -> MailVerdict,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Mailer for Server {
    fn open(&self, _: &Relay, slot: u32, source: Arc<dyn MailSource>) -> Box<dyn Connection> {
        Line::open(&self.ctx, Connected { source, slot, taken: Arc::clone(&self.taken), verdict: self.verdict })
    }
}

/// One mail at a time, as a connection does.
struct Connected {
    source: Arc<dyn MailSource>,
    slot: u32,
    taken: Arc<Mutex<Vec<Mail>>>,
    verdict: fn(&Mail, usize) -> MailVerdict,
}

#[async_trait]
impl Talk for Connected {
    async fn turn(&self) -> Pulled {
        loop {
            let mut mails = Vec::new();
            let pulled = self.source.pull(1, &mut mails);
            let Some(mail) = mails.pop() else { return pulled };
            self.source.connection_changed(self.slot, Ok(()));
            assert!(self.source.may_leave(mail.handle));
            let verdict = {
                let mut taken = self.taken.lock().unwrap();
                let tries = taken.iter().filter(|known| known.to == mail.to).count();
                taken.push(mail.clone());
                (self.verdict)(&mail, tries)
            };
            self.source.settled(&mut vec![MailResult { handle: mail.handle, verdict }]);
        }
    }

    async fn ready(&self) {
        self.source.ready().await;
    }
}

#[derive(Default)]
struct Contents {
    halted: Mutex<Vec<String>>,
}

#[async_trait]
impl Registry for Contents {
    async fn content(&self, _: &[u8]) -> Result<Option<registry::Content>, RegistryAway> {
        Ok(Some(registry::Content {
            channel: event::Channel::Email.into(),
            subject: "Thư mời".to_owned(),
            text: "Chào {ten}".to_owned(),
            html: "<p>Chào {ten}</p>".to_owned(),
            ..Default::default()
        }))
    }

    async fn halt(&self, _: CampaignId, reason: &str) -> Result<(), RegistryAway> {
        self.halted.lock().unwrap().push(reason.to_owned());
        Ok(())
    }
}

struct World {
    ctx: Ctx,
    log: Arc<dyn Log>,
    taken: Arc<Mutex<Vec<Mail>>>,
    contents: Arc<Contents>,
    running: Running,
    _directory: tempfile::TempDir,
}

impl World {
    async fn start(verdict: fn(&Mail, usize) -> MailVerdict) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let options = loa_embedded::Options::default();
        let log: Arc<dyn Log> =
            Arc::new(EmbeddedLog::open(&directory.path().join("log.db"), clock.clone(), options).await.unwrap());
        campaign_runs(&*log).await;
        let db = Db::open(&directory.path().join("email.db"), "email").await.unwrap();
        let ctx = Ctx::test(clock.clone(), "one");
        let (taken, contents) = (Arc::default(), Arc::new(Contents::default()));
        let ports = EmailPorts {
            claims: Arc::new(SqlClaims::new(db.clone())),
            leases: Arc::new(SqlLeases::new(db)),
            log: Arc::clone(&log),
            mailer: Arc::new(Server { ctx: ctx.clone(), taken: Arc::clone(&taken), verdict }),
            composer: Arc::new(Plain),
            bucket: Arc::new(LocalBucket::new(clock)),
        };
        let view = ControlView::start(&ctx, Arc::clone(&log)).await.unwrap();
        let config = EmailConfig { relays: vec![relay()] };
        let gateway = EmailGateway::with_registry(&ctx, ports, view, config, contents.clone()).await;
        let gateway = gateway.unwrap_or_else(|error| panic!("{}", error.0));
        let running = Running::start(&ctx, gateway);
        Self { ctx, log, taken, contents, running, _directory: directory }
    }

    async fn block(&self, mailbox: &str) {
        let address = HashKey::new([42; 16]).address(Channel::Email, mailbox);
        let block = event::Block { address_hash: address.0, ..Default::default() };
        let blocks = event::Blocks { blocks: vec![block] };
        let record = record::append::<loa_contract::topics::BlocksTopic>(0, bytes::Bytes::new(), &blocks);
        self.log.append(vec![record]).await.unwrap();
    }

    async fn release(&self, mailboxes: &[&str]) {
        let release = event::Release {
            account: "relay".to_owned(),
            lane: event::Lane::Normal.into(),
            sender: "ubnd@example.test".to_owned(),
            sender_name: "UBND xã".to_owned(),
            content_hash: vec![1; 32],
            mailboxes: mailboxes.iter().map(|mailbox| (*mailbox).to_owned()).collect(),
            ..gateway::release(&self.ctx, &vec!["Bà <Lan>"; mailboxes.len()])
        };
        let record = record::append::<EmailNormalTopic>(SHARD, bytes::Bytes::new(), &release);
        self.log.append(vec![record]).await.unwrap();
    }

    async fn settled(&self) -> Option<event::SliceSettled> {
        gateway::settled(&*self.log).await
    }

    async fn stop(self) {
        self.running.stop().await;
    }
}

fn relay() -> EmailRelay {
    let relay = Relay {
        id: AccountId::new("relay").unwrap(),
        address: "127.0.0.1:2525".to_owned(),
        hello: "loa.example.test".to_owned(),
        tls: TlsPolicy::Off,
        mails_per_connection_max: 100,
        pipeline: 10,
        reply_timeout: Duration::from_secs(5),
    };
    EmailRelay {
        relay,
        connections: 3,
        rate: 10_000.0,
        domains: Vec::new(),
        partitions: (0..64).collect(),
        simulator: true,
        return_domain: "bounce.example.test".to_owned(),
    }
}

#[tokio::test]
async fn every_reply_becomes_a_settlement() {
    let world = World::start(|mail, tries| {
        let reply = || "550 5.1.1 no such user".to_owned();
        match mail.to.split('@').next().unwrap() {
            "gone" => MailVerdict::NoMailbox { reply: reply() },
            "full" => MailVerdict::Undelivered { reply: "552 5.2.2 full".to_owned() },
            "grey" => MailVerdict::Retry { after: Duration::from_secs(900), reply: "450 4.7.1 later".to_owned() },
            "lost" => MailVerdict::InDoubt,
            "slip" if tries == 0 => MailVerdict::NotWritten { why: "the connection broke".to_owned() },
            _ => MailVerdict::Accepted,
        }
    })
    .await;
    world.block("stop@example.test").await;
    let mailboxes = ["lan@example.test", "gone@example.test", "full@example.test", "grey@example.test"];
    let more = ["lost@example.test", "slip@example.test", "Stop@example.test"];
    world.release(&[&mailboxes[..], &more[..]].concat()).await;
    eventually("the slice is settled", async || world.settled().await.is_some()).await;
    let settled = world.settled().await.unwrap();
    let outcomes: Vec<_> = (0..7).map(|at| convert::outcome_at(&settled, at).unwrap()).collect();
    use event::SliceOutcome::{Delivered, InDoubt, Returned, Undelivered};
    assert_eq!(outcomes, [Delivered, Undelivered, Undelivered, Returned, InDoubt, Delivered, Returned]);
    let detail = |index| settled.details.iter().find(|detail| detail.index == index).unwrap();
    assert_eq!((detail(1).reason, detail(1).code.as_str()), (Reason::NoMailbox.code().into(), "550 5.1.1"));
    assert_eq!((detail(3).why(), detail(3).attempt), (event::ReturnWhy::Retry, 1));
    assert_eq!(detail(3).not_before_us - settled.at_us, 900_000_000);
    assert_eq!(detail(6).why(), event::ReturnWhy::Recheck);

    let taken = world.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 7, "six mails, one of them twice since it was not written the first time");
    let first = taken.iter().find(|mail| mail.to == "lan@example.test").unwrap();
    assert_eq!(
        (first.from.as_str(), taken.iter().any(|mail| mail.to.starts_with("Stop"))),
        ("b+0@example.test", false)
    );
    let text = String::from_utf8(first.data.to_vec()).unwrap();
    assert_eq!(text, "UBND xã <ubnd@example.test>\nThư mời\nChào Bà <Lan>\n<p>Chào Bà &lt;Lan&gt;</p>");
    world.stop().await;
}

#[tokio::test]
async fn a_refused_policy_halts_the_campaign() {
    let world = World::start(|_, _| MailVerdict::PolicyHalt { reply: "550 5.7.26 no DKIM".to_owned() }).await;
    world.release(&["lan@example.test"]).await;
    eventually("the campaign is halted", async || !world.contents.halted.lock().unwrap().is_empty()).await;
    eventually("the slice is settled", async || world.settled().await.is_some()).await;
    assert!(world.contents.halted.lock().unwrap()[0].contains("no DKIM"));
    let settled = world.settled().await.unwrap();
    assert_eq!(convert::outcome_at(&settled, 0), Ok(event::SliceOutcome::Rejected));
    world.stop().await;
}
