//! The message centre over loopback: what it accepts, logs, answers, sends later, and how it misbehaves.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use loa_wire_smpp::buffer::ReadBuffer;
use loa_wire_smpp::pdu::{Address, BindMode, Message, Route, RouteMessage, command};
use loa_wire_smpp::receipt::{IdForm, MessageState, Receipt, Side};
use loa_wire_smpp::session::{Closed, DeliverToken, Event, Session, SessionConfig, State};
use loa_wire_smpp::status;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::log::{SinkLog, lines, summary, text_hash};

/// No condition of a test may take longer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Answered(u64, u32, String),
    Expired,
    Receipt { token: DeliverToken, id: String, state: MessageState, to: String },
}

/// A client of one connection.
struct Client {
    stream: TcpStream,
    session: Session<u64>,
    buffer: ReadBuffer,
    said: Vec<Said>,
    acknowledge: Option<u32>,
}

impl Client {
    async fn connect(smsc: &Smsc, mode: BindMode, password: &str) -> Self {
        Self::acknowledging(smsc, mode, password, Some(status::ROK)).await
    }

    /// Answers receipts with this status, or not at all.
    async fn acknowledging(smsc: &Smsc, mode: BindMode, password: &str, acknowledge: Option<u32>) -> Self {
        Self::of("loa", smsc, mode, password, acknowledge).await
    }

    async fn of(login: &str, smsc: &Smsc, mode: BindMode, password: &str, acknowledge: Option<u32>) -> Self {
        let stream = TcpStream::connect(smsc.addr()).await.unwrap();
        let bind = loa_wire_smpp::pdu::Bind::new(mode, login.as_bytes(), password.as_bytes());
        let config = SessionConfig { window: 1_000.try_into().unwrap(), ..SessionConfig::default() };
        let session = Session::open(config, &bind, Duration::ZERO).unwrap();
        let mut client = Self { stream, session, buffer: ReadBuffer::new(), said: Vec::new(), acknowledge };
        client.until("the bind's answer", |client| client.session.state() != State::Opening).await;
        client
    }

    async fn bound(smsc: &Smsc, mode: BindMode) -> Self {
        let client = Self::connect(smsc, mode, "secret").await;
        assert_eq!(client.session.state(), State::Bound);
        client
    }

    async fn flush(&mut self) {
        self.stream.write_all(self.session.out()).await.unwrap();
        self.session.written(usize::MAX);
    }

    /// Reads, and acknowledges if it shall, until the condition holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                self.flush().await;
                if holds(self) {
                    break;
                }
                let read = self.stream.read(self.buffer.space()).await.unwrap_or(0);
                if read == 0 {
                    self.session.close(Closed::SocketClosed);
                    break;
                }
                self.buffer.filled(read);
                self.hear();
            }
        });
        assert!(waited.await.is_ok(), "{what} did not come; heard {:?}", self.said);
    }

    fn hear(&mut self) {
        let said = &mut self.said;
        let (acknowledge, mut tokens) = (self.acknowledge, Vec::new());
        let consumed = self.session.feed(self.buffer.data(), Duration::ZERO, &mut |event| match event {
            Event::Answered { handle, status, message_id, .. } => {
                said.push(Said::Answered(handle, status, String::from_utf8(message_id.to_vec()).unwrap()));
            }
            Event::Delivered { token, message, .. } => {
                said.push(receipt(token, &message));
                tokens.push(token);
            }
            Event::Expired { .. } => said.push(Said::Expired),
            _ => {}
        });
        self.buffer.consume(consumed);
        for (token, status) in tokens.into_iter().zip(acknowledge.into_iter().cycle()) {
            self.session.acknowledge(token, status);
        }
    }

    fn submit(&mut self, handle: u64, number: &str, text: &str) {
        let message = RouteMessage {
            destination: number.as_bytes(),
            esm_class: 0,
            data_coding: 0,
            header: b"",
            text: text.as_bytes(),
        };
        self.submit_message(handle, &message);
    }

    fn submit_message(&mut self, handle: u64, message: &RouteMessage<'_>) {
        let route = Route::with_receipts(Address { ton: 5, npi: 0, address: b"LOA" }, 1, 1).unwrap();
        self.session.submit(Duration::ZERO, handle, |out, sequence| route.encode(out, sequence, message)).unwrap();
    }

    fn answers(&self, status: u32) -> usize {
        self.said.iter().filter(|said| matches!(said, Said::Answered(_, given, _) if *given == status)).count()
    }

    fn receipts(&self) -> Vec<(&str, MessageState)> {
        let receipts = self.said.iter().filter_map(|said| match said {
            Said::Receipt { id, state, .. } => Some((id.as_str(), *state)),
            _ => None,
        });
        receipts.collect()
    }

    fn ids(&self) -> Vec<&str> {
        let ids = self.said.iter().filter_map(|said| match said {
            Said::Answered(_, 0, id) => Some(id.as_str()),
            _ => None,
        });
        ids.collect()
    }
}

fn receipt(token: DeliverToken, message: &Message<'_>) -> Said {
    let receipt = Receipt::parse(message).expect("a receipt");
    assert!(receipt.done.is_some() && !receipt.conflict);
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    Said::Receipt {
        token,
        id: text(receipt.id.unwrap()),
        state: receipt.state.unwrap(),
        to: text(message.destination.address),
    }
}

/// A message centre with a log in a fresh directory.
struct Place {
    _directory: tempfile::TempDir,
    log: PathBuf,
    config: SmscConfig,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("sink.log");
        let config = SmscConfig { log: Arc::new(SinkLog::append_to(&log).unwrap()), ..SmscConfig::default() };
        Self { _directory: directory, log, config }
    }

    async fn start(&self) -> Smsc {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Smsc::start(listener, self.config.clone()).unwrap()
    }
}

#[tokio::test]
async fn accepts_logs_answers_and_reports() {
    let place = Place::new();
    let smsc = place.start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    for handle in 0..500 {
        client.submit(handle, &format!("849{handle:08}"), "Xin chao");
        client.until("an answer", |client| client.said.iter().any(|said| matches!(said, Said::Answered(..)))).await;
    }
    client.until("all receipts", |client| client.receipts().len() == 500).await;

    let logged: Vec<_> = lines(&place.log).unwrap().map(Result::unwrap).collect();
    let ids: Vec<&str> = logged.iter().map(|line| line.id.as_str()).collect();
    assert_eq!(ids, client.ids(), "the answer carries the id of the log");
    assert!(logged.iter().all(|line| line.text_hash == text_hash(b"Xin chao") && (line.part, line.parts) == (1, 1)));
    assert_eq!((logged[7].address.as_str(), logged[7].connection), ("84900000007", 1));
    let mut told = client.receipts();
    told.sort_by_key(|(id, _)| *id);
    assert_eq!(told.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    assert!(told.iter().all(|(_, state)| *state == MessageState::Delivered));
    assert!(client.said.iter().all(|said| !matches!(said, Said::Receipt { to, .. } if to != "LOA")));
    assert_eq!(smsc.inbox().search("84900000007", 5)[0].text, "Xin chao");

    client.session.unbind(Duration::ZERO);
    client.until("the goodbye", |client| client.session.state() == State::Closed(Closed::Unbound)).await;
    let stats = smsc.stats();
    assert_eq!((stats.accepted, stats.receipts_sent, stats.receipts_acknowledged), (500, 500, 500));
    smsc.stop().await;
}

#[tokio::test]
async fn every_answer_is_in_the_log_before_it_arrives() {
    let place = Place::new();
    let smsc = place.start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    for round in 0..20 {
        for handle in 0..100 {
            client.submit(round * 100 + handle, &format!("849{handle:08}"), &format!("round {round}"));
        }
        let wanted = client.answers(0) + 1;
        client.until("some answers", |client| client.answers(0) >= wanted).await;
        assert!(summary(&place.log).unwrap().total >= client.answers(0) as u64);
        client.until("the rest", |client| client.session.in_flight() == 0).await;
    }
    let total = summary(&place.log).unwrap();
    assert_eq!((total.total, total.repeated), (2_000, 0));
}

#[tokio::test]
async fn only_known_clients_bind() {
    let mut place = Place::new();
    place.config.logins = vec![("loa".to_owned(), "secret".to_owned())];
    place.config.binds_max = 1;
    let smsc = place.start().await;
    let refused = |status| State::Closed(Closed::BindRefused { status });
    let client = Client::connect(&smsc, BindMode::Transceiver, "wrong").await;
    assert_eq!(client.session.state(), refused(status::RINVPASWD));
    let _first = Client::bound(&smsc, BindMode::Transceiver).await;
    let second = Client::connect(&smsc, BindMode::Transceiver, "secret").await;
    assert_eq!(second.session.state(), refused(status::RALYBND));
    assert_eq!((smsc.stats().bound, smsc.stats().binds_refused), (1, 2));

    let mut place = Place::new();
    place.config.logins = vec![("somebody".to_owned(), "secret".to_owned())];
    let smsc = place.start().await;
    let client = Client::connect(&smsc, BindMode::Transceiver, "secret").await;
    assert_eq!(client.session.state(), refused(status::RINVSYSID));
    smsc.set_faults(Faults { refuse_bind: Some(status::RBINDFAIL), ..Faults::default() });
    let client = Client::connect(&smsc, BindMode::Transceiver, "secret").await;
    assert_eq!(client.session.state(), refused(status::RBINDFAIL));
}

#[tokio::test]
async fn a_receiver_may_not_submit() {
    let smsc = Place::new().start().await;
    let mut client = Client::bound(&smsc, BindMode::Receiver).await;
    client.submit(1, "84900000001", "x");
    client.until("the answer", |client| client.answers(status::RINVBNDSTS) == 1).await;
}

#[tokio::test]
async fn holds_its_rate_and_refuses_numbers() {
    let place = Place::new();
    let smsc = place.start().await;
    let refusal = Refusal { number_ends: "13".to_owned(), status: status::RINVDSTADR };
    let parts_per_second_max = NonZeroU32::new(100);
    smsc.set_faults(Faults { parts_per_second_max, refusals: vec![refusal], ..Faults::default() });
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    for handle in 0..200 {
        client.submit(handle, &format!("849{handle:08}"), "x");
    }
    client.until("all answers", |client| client.session.in_flight() == 0).await;
    assert_eq!(client.answers(status::RINVDSTADR), 2);
    let (accepted, throttled) = (client.answers(status::ROK), client.answers(status::RTHROTTLED));
    assert_eq!(accepted + throttled, 198);
    assert!((10..150).contains(&accepted), "a tenth of a second's worth at once, {accepted} came through");
    let stats = smsc.stats();
    assert_eq!((stats.accepted, stats.throttled, stats.refused), (accepted as u64, throttled as u64, 2));
    assert_eq!(summary(&place.log).unwrap().total, accepted as u64);
}

#[tokio::test]
async fn silence_takes_and_tells_nothing() {
    let place = Place::new();
    let smsc = place.start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    smsc.set_faults(Faults { silent: true, ..Faults::default() });
    client.submit(1, "84900000001", "x");
    client.flush().await;
    let arrived = async {
        while smsc.stats().accepted == 0 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    assert_eq!((summary(&place.log).unwrap().total, client.session.in_flight()), (1, 1));

    smsc.hang_up();
    client.until("the end", |_| false).await;
    assert_eq!(client.session.state(), State::Closed(Closed::SocketClosed));
    assert_eq!(client.said, []);
}

#[tokio::test]
async fn closes_in_the_middle_with_the_last_ones_logged() {
    let place = Place::new();
    let smsc = place.start().await;
    smsc.set_faults(Faults { close_after_submits: Some(50), ..Faults::default() });
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    for handle in 0..80 {
        client.submit(handle, &format!("849{handle:08}"), "x");
    }
    client.until("the end", |_| false).await;
    let logged = summary(&place.log).unwrap().total;
    assert!(logged >= 50 && client.answers(0) < 50, "{logged} logged, {} answered", client.answers(0));
}

#[tokio::test]
async fn receipts_find_another_bind() {
    let mut place = Place::new();
    place.config.id_form = IdForm::RespHexReceiptDec;
    place.config.receipts = Receipts { tlvs: false, ..Receipts::default() };
    let smsc = place.start().await;
    let mut sends = Client::bound(&smsc, BindMode::Transmitter).await;
    sends.submit(1, "84900000001", "x");
    sends.until("the answer", |client| client.answers(0) == 1).await;
    let mut hears = Client::bound(&smsc, BindMode::Receiver).await;
    hears.until("the receipt that waited", |client| client.receipts().len() == 1).await;
    let form = IdForm::RespHexReceiptDec;
    let (answered, told) = (sends.ids()[0], hears.receipts()[0].0);
    assert_ne!(answered, told);
    assert_eq!(form.key(Side::Response, answered.as_bytes()), form.key(Side::Receipt, told.as_bytes()));

    let mut both = Client::bound(&smsc, BindMode::Transceiver).await;
    smsc.set_receipts(Receipts { on_other_bind: true, ..Receipts::default() });
    both.submit(2, "84900000002", "x");
    both.until("the answer", |client| client.answers(0) == 1).await;
    hears.until("the other's receipt", |client| client.receipts().len() == 2).await;
    assert_eq!(both.receipts(), []);
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let place = Place::new();
    let smsc = place.start().await;
    let mut client = Client::acknowledging(&smsc, BindMode::Transceiver, "", None).await;
    client.submit(1, "84900000001", "x");
    client.until("the receipt", |client| client.receipts().len() == 1).await;
    drop(client);

    let refused = Some(status::RX_T_APPN);
    let mut client = Client::acknowledging(&smsc, BindMode::Transceiver, "", refused).await;
    client.until("the same receipt", |client| client.receipts().len() == 1).await;
    client.acknowledge = Some(status::ROK);
    client.until("once more", |client| client.receipts().len() == 2).await;
    let [(first, _), (second, _)] = client.receipts()[..] else { panic!("two receipts") };
    assert_eq!(first, second);
    let acknowledged = async {
        while smsc.stats().receipts_acknowledged == 0 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, acknowledged).await.unwrap();
    let stats = smsc.stats();
    assert_eq!((stats.receipts_sent, stats.receipts_refused, stats.receipts_acknowledged), (3, 1, 1));
}

#[tokio::test]
async fn nobody_hears_of_the_messages_of_another_login() {
    let place = Place::new();
    let smsc = place.start().await;
    let mut gone = Client::acknowledging(&smsc, BindMode::Transceiver, "secret", None).await;
    gone.submit(1, "84900000001", "x");
    gone.until("the receipt", |client| client.receipts().len() == 1).await;
    let owed = gone.receipts()[0].0.to_owned();
    drop(gone);

    let mut other = Client::of("other", &smsc, BindMode::Transceiver, "secret", Some(status::ROK)).await;
    other.submit(2, "84900000002", "x");
    other.until("its own receipt", |client| client.receipts().len() == 1).await;
    assert_ne!(other.receipts()[0].0, owed);
    let mut back = Client::bound(&smsc, BindMode::Transceiver).await;
    back.until("what it is owed", |client| client.receipts().len() == 1).await;
    assert_eq!((back.receipts()[0].0, other.receipts().len()), (owed.as_str(), 1));
}

#[tokio::test]
async fn shares_duplicates_and_delay() {
    let mut place = Place::new();
    place.config.receipts = Receipts {
        undelivered_permille: 300,
        expired_permille: 200,
        duplicate_permille: 1_000,
        delay: Duration::from_millis(50),
        ..Receipts::default()
    };
    let smsc = place.start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    for handle in 0..200 {
        client.submit(handle, &format!("849{handle:08}"), "x");
    }
    client.until("all answers", |client| client.answers(0) == 200).await;
    assert_eq!(client.receipts(), [], "answers come before the delay is over");
    client.until("every receipt twice", |client| client.receipts().len() == 400).await;
    let count = |wanted| client.receipts().iter().filter(|(_, state)| *state == wanted).count() / 2;
    let (undelivered, expired) = (count(MessageState::Undeliverable), count(MessageState::Expired));
    assert!(undelivered.abs_diff(60) < 30 && expired.abs_diff(40) < 30, "{undelivered} {expired}");
    assert_eq!(count(MessageState::Delivered) + undelivered + expired, 200);
}

#[tokio::test]
async fn held_receipts_leave_when_they_are_let_go() {
    let mut place = Place::new();
    place.config.receipts.held = true;
    let smsc = place.start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    for handle in 0..100 {
        client.submit(handle, &format!("849{handle:08}"), "x");
    }
    client.until("all answers", |client| client.answers(0) == 100).await;
    let early = tokio::time::timeout(Duration::from_millis(300), client.stream.read(client.buffer.space())).await;
    assert!(early.is_err(), "a receipt that was held has left");
    smsc.set_receipts(Receipts::default());
    client.until("every receipt", |client| client.receipts().len() == 100).await;
}

#[tokio::test]
async fn latency_holds_answers_back() {
    let place = Place::new();
    let smsc = place.start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    smsc.set_faults(Faults { latency: Duration::from_millis(100), ..Faults::default() });
    let start = tokio::time::Instant::now();
    for handle in 0..10 {
        client.submit(handle, "84900000001", "x");
    }
    client.until("all answers", |client| client.answers(0) == 10).await;
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn long_texts_are_logged_by_part_and_shown_whole() {
    let place = Place::new();
    let smsc = place.start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    let texts = ["Kinh gui ong ba, ", "cam on."];
    for (part, text) in (1..).zip(texts) {
        let header = [5, 0, 3, 42, 2, part];
        let (destination, text) = (&b"84900000001"[..], text.as_bytes());
        client.submit_message(
            part.into(),
            &RouteMessage { destination, esm_class: 0x40, data_coding: 0, header: &header, text },
        );
    }
    client.until("both answers", |client| client.answers(0) == 2).await;
    let logged: Vec<_> = lines(&place.log).unwrap().map(Result::unwrap).collect();
    assert_eq!(logged.iter().map(|line| (line.part, line.parts)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    assert_eq!(logged[1].text_hash, text_hash(b"cam on."));
    assert_eq!(smsc.inbox().search("", 9)[0].text, texts.concat());
}

#[tokio::test]
async fn stops_with_a_goodbye() {
    let smsc = Place::new().start().await;
    let mut client = Client::bound(&smsc, BindMode::Transceiver).await;
    smsc.stop().await;
    client.until("the goodbye", |client| client.session.state() == State::Closed(Closed::PeerUnbound)).await;
}

#[tokio::test]
async fn rubbish_ends_only_its_own_connection() {
    let smsc = Place::new().start().await;
    let mut rubbish = TcpStream::connect(smsc.addr()).await.unwrap();
    rubbish.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, rubbish.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[4..8], command::GENERIC_NACK.to_be_bytes());
    Client::bound(&smsc, BindMode::Transceiver).await;
}
