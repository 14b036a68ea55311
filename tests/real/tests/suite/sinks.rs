//! Message centres and a relay of others, as the end-to-end suite uses them: spoken to, read, killed, started again.
//!
//! Must stay true: what our engine sent is in their record, once, as our own simulator would have written it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use loa_harness::sims::Sims;
use loa_harness::turns::beside_others;
use loa_harness::wait::until;
use loa_harness::{Fault, fault, say};
use loa_real::postfix::Postfix;
use loa_real::sink::Sink;
use loa_real::{jsmpp, node_smpp};
use loa_sim::log::{LogLine, text_hash};
use loa_sim::smsc::Receipts;
use loa_smpp::engine::raw_engine;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

const TEXTS: u64 = 3_000;
const WINDOW: u32 = 50;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "needs servers: make test-real"]
async fn sinks_jsmpp_keeps_a_book_like_ours() -> Result<(), Fault> {
    let _turn = beside_others().await;
    texts_are_in_its_book(jsmpp::start().await?).await
}

#[tokio::test]
#[ignore = "needs servers: make test-real"]
async fn sinks_node_smpp_keeps_a_book_like_ours() -> Result<(), Fault> {
    let _turn = beside_others().await;
    texts_are_in_its_book(node_smpp::start().await?).await
}

#[tokio::test]
#[ignore = "needs servers: make test-real"]
async fn sinks_jsmpp_sends_a_receipt_until_it_is_acknowledged() -> Result<(), Fault> {
    let _turn = beside_others().await;
    receipt_waits(jsmpp::start().await?).await
}

#[tokio::test]
#[ignore = "needs servers: make test-real"]
async fn sinks_node_smpp_sends_a_receipt_until_it_is_acknowledged() -> Result<(), Fault> {
    let _turn = beside_others().await;
    receipt_waits(node_smpp::start().await?).await
}

#[tokio::test]
#[ignore = "needs servers: make test-real"]
async fn sinks_postfix_tells_whose_mail_it_took() -> Result<(), Fault> {
    let _turn = beside_others().await;
    let mut postfix = Postfix::start().await?;
    mail(postfix.addr(), "one@loa", &["an@example.test", "Binh@example.test"]).await?;
    mail(postfix.addr(), "two@loa", &["an@example.test"]).await?;
    let stranger = mail(postfix.addr(), "three@loa", &["an@example.com"]).await;
    assert!(stranger.is_err_and(|error| error.to_string().contains("554")), "it serves one domain");
    let known = |lines: &[LogLine]| {
        let mut known: Vec<_> = lines.iter().map(|line| (line.address.clone(), line.text_hash)).collect();
        known.sort();
        known
    };
    let hash = |id: &str| text_hash(format!("<{id}>").as_bytes());
    let mut expected = vec![
        ("Binh@example.test".to_owned(), hash("one@loa")),
        ("an@example.test".to_owned(), hash("one@loa")),
        ("an@example.test".to_owned(), hash("two@loa")),
    ];
    expected.sort();
    assert_eq!(known(&postfix.lines().await?), expected);

    postfix.start_again().await?;
    mail(postfix.addr(), "four@loa", &["chi@example.test"]).await?;
    expected.push(("chi@example.test".to_owned(), hash("four@loa")));
    expected.sort();
    assert_eq!(known(&postfix.lines().await?), expected, "its log goes on");
    Ok(())
}

async fn texts_are_in_its_book(mut sink: Sink) -> Result<(), Fault> {
    send(sink.addr()).await?;
    let folder = tempfile::tempdir()?;
    let ours = Sims::start(folder.path(), Receipts::default()).await?;
    send(ours.smsc.addr()).await?;

    let texts = |lines: &[LogLine]| -> HashSet<_> {
        lines.iter().map(|line| (line.address.clone(), line.part, line.parts, line.text_hash)).collect()
    };
    let lines = sink.lines()?;
    assert_eq!(lines.len() as u64, TEXTS);
    assert_eq!(texts(&lines), texts(&ours.sms_lines()?), "the same messages as in our own sink's book");
    assert_eq!(lines.iter().map(|line| &line.id).collect::<HashSet<_>>().len(), lines.len(), "ids are unique");
    acknowledged(&sink, lines.len()).await?;

    sink.start_again().await?;
    send(sink.addr()).await?;
    let again = sink.lines()?;
    assert_eq!(again.len(), 2 * lines.len(), "the book goes on");
    assert_eq!(again.iter().map(|line| &line.id).collect::<HashSet<_>>().len(), again.len(), "and so do its ids");
    acknowledged(&sink, again.len()).await?;
    ours.smsc.stop().await;
    Ok(())
}

async fn send(addr: SocketAddr) -> Result<(), Fault> {
    let figures = tokio::task::spawn_blocking(move || raw_engine(addr, TEXTS, WINDOW)).await?;
    let figures = figures.map_err(|error| fault(format!("the raw engine: {error}")))?;
    say(format!("{:.0} texts with receipt a second", figures.per_second));
    Ok(())
}

async fn acknowledged(sink: &Sink, count: usize) -> Result<(), Fault> {
    until("every receipt is acknowledged", LIMIT, async || sink.acknowledged().is_ok_and(|found| found == count)).await
}

/// Two parts of one text; their receipts are not acknowledged over the first bind.
async fn receipt_waits(sink: Sink) -> Result<(), Fault> {
    let mut first = Esme::bind(sink.addr()).await?;
    let mut ids = Vec::new();
    for part in [1, 2] {
        ids.push(first.submit("84912345678", &[5, 0, 3, 7, 2, part], b"xin chao").await?);
    }
    first.receipt_of(&ids[0]).await?;
    drop(first);

    let mut stranger = Esme::bind_as(sink.addr(), "stranger").await?;
    let mut second = Esme::bind(sink.addr()).await?;
    for _ in 0..2 {
        let (sequence, id) = second.receipt().await?;
        ids.retain(|known| *known != id);
        second.write(DELIVER_SM_RESP, 0, sequence, b"\0").await?;
    }
    assert!(ids.is_empty(), "receipts that did not come: {ids:?}");
    acknowledged(&sink, 2).await?;
    let lines = sink.lines()?;
    let parts: HashSet<_> = lines.iter().map(|line| (line.part, line.parts, line.text_hash)).collect();
    assert_eq!(parts, [(1, 2, text_hash(b"xin chao")), (2, 2, text_hash(b"xin chao"))].into());
    assert!(lines.iter().all(|line| line.address == "84912345678" && line.unix_us > 1_600_000_000_000_000));

    let id = stranger.submit("84900000000", &[], b"").await?;
    let (_, receipted) = stranger.receipt().await?;
    assert_eq!(receipted, id, "another login hears of its own messages alone");
    Ok(())
}

const BIND_TRANSCEIVER: u32 = 0x09;
const SUBMIT_SM: u32 = 0x04;
const DELIVER_SM: u32 = 0x05;
const DELIVER_SM_RESP: u32 = 0x8000_0005;

/// One who acknowledges a receipt only when told.
struct Esme {
    stream: TcpStream,
    sequence: u32,
    receipts: Vec<(u32, String)>,
}

impl Esme {
    async fn bind(addr: SocketAddr) -> Result<Self, Fault> {
        Self::bind_as(addr, "loa").await
    }

    async fn bind_as(addr: SocketAddr, login: &str) -> Result<Self, Fault> {
        let mut esme = Self { stream: TcpStream::connect(addr).await?, sequence: 0, receipts: Vec::new() };
        let body = [login.as_bytes(), b"\0secret\0\0\x34\0\0\0"].concat();
        esme.request(BIND_TRANSCEIVER, &body).await?;
        Ok(esme)
    }

    /// The id of the answer.
    async fn submit(&mut self, number: &str, header: &[u8], text: &[u8]) -> Result<String, Fault> {
        let class = if header.is_empty() { 0 } else { 0x40 };
        let octets = u8::try_from(header.len() + text.len())?;
        let addresses = [b"\0\x05\0BENTRE\0\x01\x01", number.as_bytes(), b"\0"].concat();
        let body = [&addresses, &[class, 0, 0, 0, 0, 1, 0, 0, 0, octets][..], header, text].concat();
        let answer = self.request(SUBMIT_SM, &body).await?;
        Ok(String::from_utf8(answer)?.trim_end_matches('\0').to_owned())
    }

    async fn receipt_of(&mut self, id: &str) -> Result<(), Fault> {
        while self.receipt().await?.1 != id {}
        Ok(())
    }

    /// The next receipt: its sequence number and the id of its message.
    async fn receipt(&mut self) -> Result<(u32, String), Fault> {
        while self.receipts.is_empty() {
            self.read().await?;
        }
        Ok(self.receipts.remove(0))
    }

    async fn request(&mut self, command: u32, body: &[u8]) -> Result<Vec<u8>, Fault> {
        self.sequence += 1;
        let sequence = self.sequence;
        self.write(command, 0, sequence, body).await?;
        loop {
            let (answer, status, of, body) = self.read().await?;
            if (answer, of) == (command | 0x8000_0000, sequence) {
                return if status == 0 { Ok(body) } else { Err(fault(format!("{command:#x} refused: {status:#x}"))) };
            }
        }
    }

    async fn write(&mut self, command: u32, status: u32, sequence: u32, body: &[u8]) -> Result<(), Fault> {
        let length = u32::try_from(16 + body.len())?;
        let head = [length, command, status, sequence].map(u32::to_be_bytes).concat();
        Ok(self.stream.write_all(&[&head[..], body].concat()).await?)
    }

    async fn read(&mut self) -> Result<(u32, u32, u32, Vec<u8>), Fault> {
        let reading = async {
            let length = self.stream.read_u32().await? as usize;
            let mut rest = vec![0; length - 4];
            self.stream.read_exact(&mut rest).await.map(|_| rest)
        };
        let pdu = tokio::time::timeout(LIMIT, reading).await??;
        let number = |at: usize| u32::from_be_bytes([pdu[at], pdu[at + 1], pdu[at + 2], pdu[at + 3]]);
        let (command, status, sequence, body) = (number(0), number(4), number(8), pdu[12..].to_vec());
        if command == DELIVER_SM {
            let text = String::from_utf8_lossy(&body).into_owned();
            let id = text.split("id:").nth(1).and_then(|rest| rest.split(' ').next());
            self.receipts.push((sequence, id.ok_or_else(|| fault("a receipt without an id"))?.to_owned()));
        }
        Ok((command, status, sequence, body))
    }
}

async fn mail(addr: SocketAddr, message_id: &str, recipients: &[&str]) -> Result<(), Fault> {
    let mut stream = BufStream::new(TcpStream::connect(addr).await?);
    expect(&mut stream, "220").await?;
    let to = recipients.iter().map(|to| format!("RCPT TO:<{to}>"));
    let commands = ["HELO loa.example.test".to_owned(), "MAIL FROM:<tin@loa.example.test>".to_owned()];
    for command in commands.into_iter().chain(to) {
        say_to(&mut stream, &command, "250").await?;
    }
    say_to(&mut stream, "DATA", "354").await?;
    let text = format!("Message-ID: <{message_id}>\r\nSubject: thu\r\n\r\nxin chao\r\n.");
    say_to(&mut stream, &text, "250").await?;
    say_to(&mut stream, "QUIT", "221").await
}

async fn say_to(stream: &mut BufStream<TcpStream>, words: &str, wanted: &str) -> Result<(), Fault> {
    stream.write_all(format!("{words}\r\n").as_bytes()).await?;
    stream.flush().await?;
    expect(stream, wanted).await
}

async fn expect(stream: &mut BufStream<TcpStream>, wanted: &str) -> Result<(), Fault> {
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_line(&mut answer)).await??;
    if answer.starts_with(wanted) { Ok(()) } else { Err(fault(answer)) }
}
