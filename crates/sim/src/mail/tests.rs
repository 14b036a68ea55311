//! The mail world over loopback, spoken to word by word.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::log::{LogLine, SinkLog, lines};

const LIMIT: Duration = Duration::from_secs(20);

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(world: &MailWorld) -> Self {
        let stream = TcpStream::connect(world.addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    async fn greeted(world: &MailWorld) -> Self {
        let mut client = Self::connect(world).await;
        assert_eq!(client.reply().await, "220");
        client.says("EHLO loa\r\n").await;
        assert_eq!(client.reply().await, "250");
        client
    }

    async fn says(&mut self, octets: &str) {
        self.0.get_mut().write_all(octets.as_bytes()).await.unwrap();
    }

    /// The codes of the next reply, as `250 2.0.0`; empty when the connection has ended.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(LIMIT, self.0.read_line(&mut line)).await.expect("an answer in time");
            if read.unwrap_or(0) == 0 {
                return String::new();
            }
            if line.as_bytes()[3] != b'-' {
                let mut words = line.split_whitespace();
                let code = words.next().unwrap_or_default().to_owned();
                let enhanced = words.next().filter(|word| word.chars().filter(|c| *c == '.').count() == 2);
                let enhanced = enhanced.filter(|word| word.starts_with(['2', '4', '5']));
                return enhanced.map_or_else(|| code.clone(), |enhanced| format!("{code} {enhanced}"));
            }
        }
    }

    async fn replies(&mut self, count: usize) -> Vec<String> {
        let mut replies = Vec::new();
        for _ in 0..count {
            replies.push(self.reply().await);
        }
        replies
    }

    async fn ended(&mut self) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(LIMIT, self.0.read_to_end(&mut rest))
            .await
            .expect("an end in time")
            .map_or(true, |_| rest.is_empty())
    }
}

fn envelope(to: &str) -> String {
    format!("MAIL FROM:<b+1@bounce.test>\r\nRCPT TO:<{to}>\r\nDATA\r\n")
}

fn content(subject: &str) -> String {
    format!("Date: today\r\nSubject: {subject}\r\n\r\n..hello\r\n.\r\n")
}

async fn start(config: MailConfig) -> MailWorld {
    MailWorld::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), config).unwrap()
}

async fn with_rule(who: Who, fault: Fault) -> MailWorld {
    start(MailConfig {
        faults: Faults { rules: vec![Rule { who, fault }], ..Faults::default() },
        ..MailConfig::default()
    })
    .await
}

const OK: [&str; 3] = ["250 2.1.0", "250 2.1.5", "354"];

#[tokio::test]
async fn takes_pipelined_mails_and_logs_each_before_its_reply() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.log");
    let log = Arc::new(SinkLog::append_to(&path).unwrap());
    let world = start(MailConfig { log, ..MailConfig::default() }).await;
    let mut client = Client::greeted(&world).await;

    client.says(&envelope("an@example.test")).await;
    assert_eq!(client.replies(3).await, OK);
    client.says(&(content("one") + &envelope("binh@example.test"))).await;
    assert_eq!(client.reply().await, "250 2.0.0");
    let logged = |count| {
        let lines: Vec<LogLine> = lines(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(lines.len(), count);
        lines
    };
    logged(1); // the reply is here, so is the line
    assert_eq!(client.replies(3).await, OK);
    client.says(&(content("one") + "QUIT\r\n")).await;
    assert_eq!(client.replies(2).await, ["250 2.0.0", "221 2.0.0"]);
    assert!(client.ended().await);

    let lines = logged(2);
    assert_eq!((lines[0].address.as_str(), lines[1].address.as_str()), ("an@example.test", "binh@example.test"));
    assert_eq!((lines[0].part, lines[0].parts, lines[0].connection), (1, 1, 1));
    assert_eq!(lines[0].text_hash, lines[1].text_hash);
    assert_ne!(lines[0].id, lines[1].id);
    let seen = world.inbox().to("binh@example.test", 10);
    assert_eq!((seen.len(), seen[0].subject.as_str(), seen[0].text.as_str()), (1, "one", ".hello\r\n"));
    assert_eq!(seen[0].return_path, "b+1@bounce.test");
    assert_eq!((world.stats().accepted, world.stats().connections), (2, 1));
    world.stop().await;
}

#[tokio::test]
async fn keeps_the_order_of_commands() {
    let world = start(MailConfig::default()).await;
    let mut client = Client::greeted(&world).await;
    client.says("RCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nRSET\r\nDATA\r\nNOOP\r\nWHAT\r\n").await;
    let expected =
        ["503 5.5.1", "503 5.5.1", "250 2.1.0", "503 5.5.1", "250 2.0.0", "503 5.5.1", "250 2.0.0", "500 5.5.2"];
    assert_eq!(client.replies(8).await, expected);
    world.stop().await;
    assert_eq!(client.reply().await, "421 4.3.2");
}

#[tokio::test]
async fn refuses_as_told() {
    let world =
        with_rule(Who::Address("an@example.test".into()), Fault::RefuseRecipient("550 5.1.1 no such user".into()))
            .await;
    let mut client = Client::greeted(&world).await;
    client.says(&envelope("an@example.test")).await;
    assert_eq!(client.replies(3).await, ["250 2.1.0", "550 5.1.1", "503 5.5.1"]);
    client.says("RSET\r\n").await;
    client.reply().await;
    client.says(&envelope("binh@example.test")).await;
    assert_eq!(client.replies(3).await, OK);

    let rules = vec![Rule { who: Who::Everybody, fault: Fault::RefuseContent("554 5.7.1 spam".into()) }];
    world.set_faults(Faults { rules, greylist: true, ..Faults::default() });
    client.says(&content("x")).await;
    assert_eq!(client.reply().await, "250 2.0.0"); // its recipient was named before
    client.says(&envelope("chi@example.test")).await;
    assert_eq!(client.replies(3).await, ["250 2.1.0", "450 4.2.0", "503 5.5.1"]);
    client.says("RSET\r\n").await;
    client.reply().await;
    client.says(&envelope("chi@example.test")).await;
    assert_eq!(client.replies(3).await, OK); // greylisting is over
    client.says(&content("x")).await;
    assert_eq!(client.reply().await, "554 5.7.1");
    assert_eq!((world.stats().accepted, world.stats().refused), (1, 3));
    world.stop().await;
}

#[tokio::test]
async fn sends_away_with_421() {
    let throttle = Fault::RefuseRecipient("421 4.7.0 slow down".into());
    let world = with_rule(Who::Ends("@slow.test".into()), throttle).await;
    let mut client = Client::greeted(&world).await;
    client.says(&envelope("an@slow.test")).await;
    assert_eq!(client.replies(2).await, ["250 2.1.0", "421 4.7.0"]);
    assert!(client.ended().await);

    world.set_faults(Faults { mails_per_connection_max: std::num::NonZeroU64::new(1), ..Faults::default() });
    let mut client = Client::greeted(&world).await;
    client.says(&envelope("an@slow.test")).await;
    client.replies(3).await;
    client.says(&content("x")).await;
    assert_eq!(client.replies(2).await, ["250 2.0.0", "421 4.7.0"]);
    assert!(client.ended().await);
    world.stop().await;

    let world = start(MailConfig { connections_max: 1, ..MailConfig::default() }).await;
    let _first = Client::greeted(&world).await;
    let mut second = Client::connect(&world).await;
    assert_eq!(second.reply().await, "421 4.7.0");
    world.stop().await;
}

#[tokio::test]
async fn closes_at_the_worst_moment() {
    for (fault, replies_to_data, accepted) in [
        (Fault::CloseAtData, &["250 2.1.0", "250 2.1.5"][..], 0),
        (Fault::CloseInContent, &OK, 0),
        (Fault::TakeAndClose, &OK, 1),
        (Fault::DropAndClose, &OK, 0),
    ] {
        let world = with_rule(Who::Everybody, fault.clone()).await;
        let mut client = Client::greeted(&world).await;
        client.says(&envelope("an@example.test")).await;
        assert_eq!(client.replies(replies_to_data.len()).await, replies_to_data, "{fault:?}");
        if replies_to_data.len() == 3 {
            client.says(&content("x")).await;
        }
        assert!(client.ended().await, "{fault:?}");
        assert_eq!((world.stats().accepted, world.stats().closed), (accepted, 1), "{fault:?}");
        assert_eq!(world.inbox().len() as u64, accepted);
        world.stop().await;
    }
}

#[tokio::test]
async fn keeps_its_limits_and_hangs_up() {
    let world = start(MailConfig { mail_octets_max: 100, pipelining: false, ..MailConfig::default() }).await;
    let mut client = Client::greeted(&world).await;
    client.says(&envelope("an@example.test")).await;
    client.replies(3).await;
    client.says(&"x".repeat(101)).await;
    assert_eq!(client.reply().await, "552 5.3.4");
    assert!(client.ended().await);

    let mut client = Client::greeted(&world).await;
    world.hang_up();
    assert!(client.ended().await);
    let mut client = Client::greeted(&world).await;
    client.says("NOOP\r\n").await;
    assert_eq!(client.reply().await, "250 2.0.0");
    world.stop().await;
}
