//! Binds against the simulated message centre over loopback, and against a hand-driven peer where octets matter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use loa_ports::carrier::{
    BindState, CarrierReceipt, CarrierTls, NotStored, Pulled, Submit, SubmitResult, SubmitVerdict,
};
use loa_ports::clock::SystemClock;
use loa_sim::smsc::{Faults, Receipts, Smsc, SmscConfig};
use loa_wire_smpp::pdu::{self, Cut, command};
use loa_wire_smpp::status;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::account::tests::account;
use crate::driver::{Drive, run};
use crate::ended::Ended;

/// No condition of a test may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition, never for a time.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not happen");
}

/// A gateway of a test: a queue of work and a book of what became of it.
#[derive(Default)]
struct Book {
    work: Mutex<VecDeque<Submit>>,
    ready: Notify,
    settled: Mutex<BTreeMap<(u64, u8), SubmitVerdict>>,
    receipts: Mutex<Vec<CarrierReceipt>>,
    states: Mutex<Vec<BindState>>,
    /// Receipts are not stored while it is set, only then answered.
    holding: AtomicBool,
    released: Notify,
    failing: AtomicBool,
    pace: Option<Duration>,
}

impl Book {
    fn add(&self, handles: std::ops::Range<u64>, parts: u8) {
        let submits = handles.flat_map(|handle| (0..parts).map(move |part| submit(handle, part, parts)));
        lock(&self.work).extend(submits);
        self.ready.notify_one();
    }

    fn settled(&self) -> usize {
        lock(&self.settled).len()
    }

    fn verdicts(&self, wanted: impl Fn(&SubmitVerdict) -> bool) -> BTreeSet<u64> {
        lock(&self.settled).iter().filter(|(_, verdict)| wanted(verdict)).map(|((handle, _), _)| *handle).collect()
    }

    fn accepted(&self) -> BTreeSet<u64> {
        self.verdicts(|verdict| matches!(verdict, SubmitVerdict::Accepted { .. }))
    }

    fn is(&self, state: &BindState) -> bool {
        lock(&self.states).last() == Some(state)
    }

    fn backing_off(&self) -> Option<(String, Duration)> {
        match lock(&self.states).last() {
            Some(BindState::BackingOff { why, wait }) => Some((why.clone(), *wait)),
            _ => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn submit(handle: u64, part: u8, parts: u8) -> Submit {
    let text = format!("message {handle}");
    let header = [5, 0, 3, 7, parts, part + 1];
    let body = if parts > 1 { [&header[..], text.as_bytes()].concat() } else { text.into_bytes() };
    Submit {
        handle,
        part,
        parts,
        destination: 84_900_000_000 + handle,
        sender: "LOA".into(),
        data_coding: 0,
        body: Bytes::from(body),
        validity_s: 0,
        priority: 0,
    }
}

#[async_trait]
impl SubmitSource for Book {
    fn pull(&self, room: usize, out: &mut Vec<Submit>) -> Pulled {
        let mut work = lock(&self.work);
        let mut room = if self.pace.is_some() { room.min(1) } else { room };
        while let Some(parts) = work.front().map(|submit| usize::from(submit.parts)) {
            if parts > room {
                return self.pace.map_or(Pulled::Full, Pulled::Paced);
            }
            room -= parts;
            out.extend(work.drain(..parts));
        }
        Pulled::Empty
    }

    async fn ready(&self) {
        self.ready.notified().await;
    }

    fn settled(&self, results: &mut Vec<SubmitResult>) {
        let mut settled = lock(&self.settled);
        for result in results.drain(..) {
            let before = settled.insert((result.handle, result.part), result.verdict);
            assert_eq!(before, None, "part {} of {} was settled twice", result.part, result.handle);
        }
    }

    async fn receipts(&self, receipts: Vec<CarrierReceipt>) -> Result<(), NotStored> {
        while self.holding.load(Ordering::SeqCst) {
            self.released.notified().await;
        }
        if self.failing.load(Ordering::SeqCst) {
            return Err(NotStored);
        }
        lock(&self.receipts).extend(receipts);
        Ok(())
    }

    fn bind_changed(&self, slot: u32, state: BindState) {
        assert_eq!(slot, 3);
        lock(&self.states).push(state);
    }
}

/// A message centre, an account at it and one bind.
struct Scene {
    smsc: Smsc,
    book: Arc<Book>,
    carrier: SmppCarrier,
}

impl Scene {
    async fn new(config: SmscConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let smsc = Smsc::start(listener, config).unwrap();
        Self { smsc, book: Arc::default(), carrier: carrier() }
    }

    fn open(&self, window: u32) -> Box<dyn Bind> {
        self.open_with(account(&self.smsc.addr().to_string(), window))
    }

    fn open_with(&self, account: CarrierAccount) -> Box<dyn Bind> {
        let source: Arc<dyn SubmitSource> = Arc::clone(&self.book) as _;
        self.carrier.open(&account, 3, source)
    }
}

fn carrier() -> SmppCarrier {
    SmppCarrier::new(&Ctx::test(Arc::new(SystemClock::new()), "n1"))
}

/// Numbers that reached the message centre, each as often as it did.
fn arrived(smsc: &Smsc) -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().unwrap() - 84_900_000_000;
    smsc.inbox().messages().iter().map(|message| number(&message.to)).collect()
}

#[tokio::test]
async fn sends_everything_and_hears_every_receipt() {
    let scene = Scene::new(SmscConfig::default()).await;
    let bind = scene.open(100);
    scene.book.add(0..3_000, 1);
    let book = Arc::clone(&scene.book);
    eventually("all receipts", || lock(&book.receipts).len() == 3_000).await;
    scene.book.add(3_000..3_001, 1); // what comes after a rest leaves too
    eventually("the last receipt", || lock(&book.receipts).len() == 3_001).await;
    bind.stop(Duration::from_secs(5)).await;

    assert_eq!(*lock(&book.states), [BindState::Opening, BindState::Bound, BindState::Closed]);
    let answered: BTreeSet<String> = lock(&book.settled)
        .values()
        .map(|verdict| match verdict {
            SubmitVerdict::Accepted { id } => id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let told: BTreeSet<String> = lock(&book.receipts).iter().map(|receipt| receipt.id.clone()).collect();
    assert_eq!((answered.len(), &answered), (3_001, &told));
    let mut arrived = arrived(&scene.smsc);
    arrived.sort_unstable();
    assert_eq!(arrived, (0..3_001).collect::<Vec<_>>());
    let stats = scene.smsc.stats();
    assert_eq!((stats.receipts_acknowledged, stats.bound), (3_001, 0), "the goodbye came after the last answer");
}

#[tokio::test]
async fn a_receipt_is_acknowledged_only_when_it_is_stored() {
    let scene = Scene::new(SmscConfig::default()).await;
    scene.book.holding.store(true, Ordering::SeqCst);
    let bind = scene.open(10);
    scene.book.add(0..100, 1);
    eventually("answers go on meanwhile", || scene.book.accepted().len() == 100).await;
    eventually("all receipts left", || scene.smsc.stats().receipts_sent == 100).await;
    assert_eq!(scene.smsc.stats().receipts_acknowledged, 0);

    scene.book.holding.store(false, Ordering::SeqCst);
    scene.book.released.notify_one();
    eventually("all are acknowledged", || scene.smsc.stats().receipts_acknowledged == 100).await;
    assert_eq!(lock(&scene.book.receipts).len(), 100);
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_flood_of_receipts_stops_reading_and_nothing_is_lost() {
    let scene = Scene::new(SmscConfig { inbox_max: 0, ..SmscConfig::default() }).await;
    scene.smsc.set_receipts(Receipts { duplicate_permille: 1_000, ..Receipts::default() });
    scene.book.holding.store(true, Ordering::SeqCst);
    let bind = scene.open(1_000);
    scene.book.add(0..20_000, 1);
    let unread_answers = || scene.smsc.stats().accepted - scene.book.settled() as u64;
    eventually("reading stops", || scene.smsc.stats().receipts_sent > 5_000 && unread_answers() == 1_000).await;
    scene.book.holding.store(false, Ordering::SeqCst);
    scene.book.released.notify_one();
    eventually("all receipts", || lock(&scene.book.receipts).len() == 40_000).await;
    assert_eq!(scene.book.accepted().len(), 20_000);
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn receipts_that_cannot_be_stored_come_again() {
    let scene = Scene::new(SmscConfig::default()).await;
    scene.book.failing.store(true, Ordering::SeqCst);
    let bind = scene.open(10);
    scene.book.add(0..50, 1);
    eventually("the bind ends", || scene.book.backing_off().is_some()).await;
    let (why, _) = scene.book.backing_off().unwrap();
    assert!(why.contains("the receipts could not be stored: the carrier will send them again"), "{why}");
    assert_eq!(scene.smsc.stats().receipts_acknowledged, 0);

    scene.book.failing.store(false, Ordering::SeqCst);
    eventually("everything is sent and told", || lock(&scene.book.receipts).len() >= 50).await;
    eventually("all is acknowledged", || scene.smsc.stats().receipts_acknowledged == 50).await;
    assert_eq!(scene.book.accepted().len() + scene.book.verdicts(|v| *v == SubmitVerdict::NotWritten).len(), 50);
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_broken_connection_settles_each_part_once_and_sends_the_rest() {
    let scene = Scene::new(SmscConfig::default()).await;
    scene.smsc.set_faults(Faults { close_after_submits: Some(777), ..Faults::default() });
    let bind = scene.open(50);
    scene.book.add(0..3_000, 1);
    eventually("all parts are settled", || scene.book.settled() == 3_000).await;

    let arrived = arrived(&scene.smsc);
    let distinct: BTreeSet<u64> = arrived.iter().copied().collect();
    assert_eq!(arrived.len(), distinct.len(), "nothing arrived twice");
    let unanswered = scene.book.verdicts(|verdict| *verdict == SubmitVerdict::Unanswered);
    let not_written = scene.book.verdicts(|verdict| *verdict == SubmitVerdict::NotWritten);
    assert!(!unanswered.is_empty(), "the last read of each connection was taken and not answered");
    assert!(not_written.is_disjoint(&distinct), "what was not written did not arrive");
    assert!(scene.book.accepted().is_subset(&distinct), "what was answered arrived");
    assert_eq!(scene.book.accepted().len() + unanswered.len() + not_written.len(), 3_000);
    bind.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn refusals_keep_their_meaning() {
    let scene = Scene::new(SmscConfig::default()).await;
    let refusal = |ends: &str, status| loa_sim::smsc::Refusal { number_ends: ends.to_owned(), status };
    let refusals = vec![refusal("01", status::RINVDSTADR), refusal("02", status::RSYSERR), refusal("03", 0x0A)];
    scene.smsc.set_faults(Faults { refusals, ..Faults::default() });
    let bind = scene.open(10);
    scene.book.add(0..4, 1);
    eventually("all answers", || scene.book.settled() == 4).await;
    let verdicts: Vec<SubmitVerdict> = lock(&scene.book.settled).values().cloned().collect();
    assert!(matches!(verdicts[0], SubmitVerdict::Accepted { .. }));
    assert_eq!(
        verdicts[1..],
        [
            SubmitVerdict::Refused { status: 0x0B },
            SubmitVerdict::RetryLater { status: 0x08 },
            SubmitVerdict::RefusedCampaign { status: 0x0A },
        ]
    );

    scene.smsc.set_faults(Faults { parts_per_second_max: NonZeroU32::new(1), ..Faults::default() });
    scene.book.add(4..10, 1);
    eventually("all answers", || scene.book.settled() == 10).await;
    assert!(!scene.book.verdicts(|verdict| *verdict == SubmitVerdict::Throttled).is_empty());
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_status_of_the_link_stops_the_bind() {
    let scene = Scene::new(SmscConfig::default()).await;
    let refusals = vec![loa_sim::smsc::Refusal { number_ends: "01".to_owned(), status: status::RINVBNDSTS }];
    scene.smsc.set_faults(Faults { refusals, ..Faults::default() });
    let bind = scene.open(1);
    scene.book.add(0..3, 1);
    eventually("the bind stops", || scene.book.backing_off().is_some()).await;
    let (why, wait) = scene.book.backing_off().unwrap();
    assert!(why.contains("status 0x0004, which stops the bind (RINVBNDSTS)"), "{why}");
    assert!(wait >= Duration::from_secs(60));
    assert_eq!(scene.book.verdicts(|v| *v == SubmitVerdict::RetryLater { status: 4 }), BTreeSet::from([1]));
    assert_eq!(scene.book.accepted(), BTreeSet::from([0]));
    assert_eq!(lock(&scene.book.work).len(), 1, "the rest was not taken");
    bind.stop(PATIENCE).await;
    assert!(scene.book.is(&BindState::Closed), "a stop is obeyed while it waits");
}

#[tokio::test]
async fn a_refused_bind_waits_long_and_says_why() {
    let logins = vec![("loa".to_owned(), "other".to_owned())];
    let scene = Scene::new(SmscConfig { logins, ..SmscConfig::default() }).await;
    let bind = scene.open(10);
    eventually("the refusal", || scene.book.backing_off().is_some()).await;
    let (why, wait) = scene.book.backing_off().unwrap();
    assert!(why.contains("(RINVPASWD): correct system_id and password"), "{why}");
    assert!(!why.contains("secret") && wait >= Duration::from_secs(60), "{why} {wait:?}");
    bind.stop(PATIENCE).await;

    let scene = Scene::new(SmscConfig { binds_max: 0, ..SmscConfig::default() }).await;
    let bind = scene.open(10);
    eventually("the refusal", || scene.book.backing_off().is_some()).await;
    let (why, wait) = scene.book.backing_off().unwrap();
    assert!(why.contains("(RALYBND)") && wait >= Duration::from_secs(30), "{why} {wait:?}");
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn an_unreachable_or_misconfigured_carrier_is_told_with_its_cure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let long = CarrierAccount { system_id: "x".repeat(16), ..account(&nobody, 10) };
    let scene = Scene::new(SmscConfig::default()).await;
    let long = CarrierAccount { address: scene.smsc.addr().to_string(), ..long };
    for (account, words) in [(account(&nobody, 10), "could not connect"), (long, "`system_id` has 16 octets")] {
        let book = Arc::new(Book::default());
        let bind = carrier().open(&account, 3, Arc::clone(&book) as _);
        eventually("it says so", || book.backing_off().is_some()).await;
        let (why, _) = book.backing_off().unwrap();
        assert!(why.contains(words), "{why}");
        bind.stop(PATIENCE).await;
        assert!(book.is(&BindState::Closed));
    }
}

#[tokio::test]
async fn a_stop_takes_nothing_more_and_waits_for_open_answers() {
    let scene = Scene::new(SmscConfig::default()).await;
    scene.smsc.set_faults(Faults { latency: Duration::from_millis(300), ..Faults::default() });
    let bind = scene.open(20);
    eventually("the bind stands", || scene.book.is(&BindState::Bound)).await;
    scene.book.add(0..100, 1);
    eventually("a full window", || bind.in_flight() == 20).await;
    bind.stop(PATIENCE).await;
    let accepted = scene.book.accepted().len();
    assert_eq!((scene.book.settled(), accepted % 20), (accepted, 0), "all that was taken was answered");
    assert_eq!(lock(&scene.book.work).len(), 100 - accepted);
    assert!(accepted < 100, "the stop came too late to prove anything");
}

#[tokio::test]
async fn a_stop_without_patience_leaves_open_parts_in_doubt() {
    let scene = Scene::new(SmscConfig::default()).await;
    let bind = scene.open(20);
    eventually("the bind stands", || scene.book.is(&BindState::Bound)).await;
    scene.smsc.set_faults(Faults { silent: true, ..Faults::default() });
    scene.book.add(0..100, 1);
    eventually("they arrived", || scene.smsc.stats().accepted == 20).await;
    bind.stop(Duration::ZERO).await;
    assert_eq!(scene.book.verdicts(|verdict| *verdict == SubmitVerdict::Unanswered), (0..20).collect());
    assert_eq!((scene.book.settled(), lock(&scene.book.work).len()), (20, 80));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_store_that_hangs() {
    let scene = Scene::new(SmscConfig::default()).await;
    scene.smsc.set_receipts(Receipts { duplicate_permille: 1_000, ..Receipts::default() });
    scene.book.holding.store(true, Ordering::SeqCst);
    let bind = scene.open(1_000);
    scene.book.add(0..20_000, 1);
    eventually("reading stops", || scene.smsc.stats().receipts_sent > 5_000).await;
    tokio::time::timeout(PATIENCE, bind.stop(Duration::from_millis(200))).await.expect("it ends");
    assert_eq!(scene.smsc.stats().receipts_acknowledged, 0);
    assert_eq!(scene.book.settled() + lock(&scene.book.work).len(), 20_000, "every part that was taken is settled");
}

#[tokio::test]
async fn a_dropped_handle_stops_the_bind() {
    let scene = Scene::new(SmscConfig::default()).await;
    let bind = scene.open(10);
    eventually("the bind stands", || scene.book.is(&BindState::Bound)).await;
    drop(bind);
    eventually("it ends", || scene.book.is(&BindState::Closed)).await;
}

#[tokio::test]
async fn silence_expires_into_doubt_and_the_window_goes_on() {
    let scene = Scene::new(SmscConfig::default()).await;
    let address = scene.smsc.addr().to_string();
    let response_timeout = Duration::from_millis(200);
    let bind = scene.open_with(CarrierAccount { response_timeout, ..account(&address, 20) });
    eventually("the bind stands", || scene.book.is(&BindState::Bound)).await;
    scene.smsc.set_faults(Faults { silent: true, ..Faults::default() });
    scene.book.add(0..10, 1);
    eventually("time is up", || scene.book.settled() == 10).await;
    assert_eq!(scene.book.verdicts(|verdict| *verdict == SubmitVerdict::Unanswered).len(), 10);
    scene.smsc.set_faults(Faults::default());
    scene.book.add(10..11, 1);
    eventually("the next one is answered", || scene.book.accepted() == BTreeSet::from([10])).await;
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn long_texts_pass_a_window_smaller_than_they_are() {
    let scene = Scene::new(SmscConfig::default()).await;
    let bind = scene.open(2);
    scene.book.add(0..20, 5);
    eventually("all parts", || scene.book.settled() == 100).await;
    assert_eq!(scene.book.accepted().len(), 20);
    assert!(scene.smsc.inbox().messages().iter().all(|message| (message.parts_seen, message.parts) == (5, 5)));
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_paced_source_is_asked_again_in_time() {
    let mut scene = Scene::new(SmscConfig::default()).await;
    scene.book = Arc::new(Book { pace: Some(Duration::from_millis(2)), ..Book::default() });
    let bind = scene.open(10);
    scene.book.add(0..50, 1);
    eventually("all of them", || scene.book.accepted().len() == 50).await;
    bind.stop(PATIENCE).await;
}

#[tokio::test]
async fn speaks_tls_and_refuses_a_stranger() {
    let key = rcgen::generate_simple_self_signed(["smsc.example.test".to_owned()]).unwrap();
    let secret = tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], secret.into())
        .unwrap();
    let scene = Scene::new(SmscConfig::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let smsc = &scene.smsc;
    let serve = async {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                smsc.serve(stream).await;
            }
        }
    };
    let test = async {
        let tls = |ca: String| CarrierTls { server_name: "smsc.example.test".to_owned(), ca_pem: ca.into_bytes() };
        let stranger = rcgen::generate_simple_self_signed(["smsc.example.test".to_owned()]).unwrap().cert.pem();
        let bind = scene.open_with(CarrierAccount { tls: Some(tls(stranger)), ..account(&address, 50) });
        eventually("the refusal", || scene.book.backing_off().is_some()).await;
        let (why, _) = scene.book.backing_off().unwrap();
        assert!(why.contains("could not connect to the carrier: invalid peer certificate"), "{why}");
        bind.stop(PATIENCE).await;

        let bind = scene.open_with(CarrierAccount { tls: Some(tls(key.cert.pem())), ..account(&address, 50) });
        scene.book.add(0..2_000, 1);
        eventually("all receipts", || lock(&scene.book.receipts).len() == 2_000).await;
        bind.stop(PATIENCE).await;
        assert_eq!(scene.book.accepted().len(), 2_000);
    };
    tokio::select! {
        () = serve => panic!("the server ended"),
        () = test => {}
    }
}

/// A peer that stops reading: what fits into the pipe is in doubt, what does not may go again.
#[tokio::test]
async fn only_octets_that_left_are_in_doubt() {
    let (ours, mut theirs) = tokio::io::duplex(512);
    let book = Book::default();
    book.add(0..100, 1);
    let account = Account::new(&account("", 100));
    let (clock, in_flight) = (SystemClock::new(), AtomicU32::new(0));
    let (_stop, stopping) = watch::channel(None);
    let meters = Meters::new(&loa_runtime::metrics::Metrics::default());
    let drive = Drive {
        account: &account,
        source: &book,
        slot: 3,
        clock: &clock,
        meters: &meters,
        in_flight: &in_flight,
        stopping,
        writes_in_doubt: false,
    };
    let peer = async {
        let mut bind = vec![0; 1_024];
        let read = theirs.read(&mut bind).await.unwrap();
        assert!(matches!(pdu::cut(&bind[..read]), Cut::Pdu { .. }));
        let mut answer = Vec::new();
        pdu::put_bind_resp(&mut answer, command::BIND_TRANSCEIVER, 1, b"smsc", None);
        theirs.write_all(&answer).await.unwrap();
        eventually("a full window", || in_flight.load(Ordering::Relaxed) == 100).await;
        drop(theirs);
    };
    let ((ended, was_bound), ()) = tokio::join!(run(drive, ours), peer);
    assert!(was_bound && matches!(ended, Ended::Closed(_) | Ended::Socket { .. }), "{ended}");
    let unanswered = book.verdicts(|verdict| *verdict == SubmitVerdict::Unanswered);
    let not_written = book.verdicts(|verdict| *verdict == SubmitVerdict::NotWritten);
    let pdu_octets = 16 + 1 + 2 + 4 + 2 + 12 + 10 + "message 0".len();
    let begun = u64::try_from(512_usize.div_ceil(pdu_octets)).unwrap();
    assert_eq!(unanswered, (0..begun).collect());
    assert_eq!(not_written, (begun..100).collect());
}

/// The engine alone, as the bench runs it; its figures are printed, its completeness is checked.
#[test]
fn the_raw_engine_measures_itself() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let smsc = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Smsc::start(listener, SmscConfig { inbox_max: 0, ..SmscConfig::default() }).unwrap()
    });
    let figures = engine::raw_engine(smsc.addr(), 20_000, 100).unwrap();
    println!("{figures:?}");
    assert_eq!((figures.messages, smsc.stats().accepted), (20_000, 20_000));
    assert!(figures.per_second > 1_000.0 && figures.cpu_us_per_message.is_none_or(|us| us > 0.0));

    runtime
        .block_on(async { smsc.set_faults(Faults { parts_per_second_max: NonZeroU32::new(1), ..Faults::default() }) });
    let error = engine::raw_engine(smsc.addr(), 10, 10).unwrap_err();
    assert!(error.to_string().contains("messages were not accepted"), "{error}");
}
