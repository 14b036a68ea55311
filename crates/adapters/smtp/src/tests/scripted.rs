//! Against servers in memory that say exactly what a test wants.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::Broken;
use crate::task::{Outcome, Task};

const HELLO: &str = "250-mx\r\n250 PIPELINING\r\n";
const GO: &str = "250 ok\r\n250 ok\r\n354 go\r\n";

fn task(letters: &Arc<Letters>, reply: Duration) -> Task {
    Task {
        relay: relay("in memory"),
        slot: 0,
        source: letters.clone(),
        timeouts: Timeouts::default().within(reply),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    }
}

/// Reads until what was read ends with `ending`.
async fn heard(server: &mut DuplexStream, ending: &str) -> String {
    let mut octets = Vec::new();
    while !octets.ends_with(ending.as_bytes()) {
        let read = tokio::time::timeout(LIMIT, server.read_buf(&mut octets)).await.expect("in time").expect("a read");
        assert_ne!(read, 0, "the client left: {}", String::from_utf8_lossy(&octets));
    }
    String::from_utf8(octets).expect("ascii")
}

async fn say(server: &mut DuplexStream, text: &str) {
    server.write_all(text.as_bytes()).await.expect("the client listens");
}

/// Greets the client and answers its first envelope.
async fn up_to_the_content(server: &mut DuplexStream) {
    say(server, "220 mx\r\n").await;
    heard(server, "EHLO loa.example.test\r\n").await;
    say(server, HELLO).await;
    heard(server, "DATA\r\n").await;
}

#[tokio::test]
async fn content_and_next_envelope_are_one_write() {
    let letters = Letters::count(2);
    let task = task(&letters, LIMIT);
    let (client, mut server) = tokio::io::duplex(1 << 16);
    let script = async {
        up_to_the_content(&mut server).await;
        say(&mut server, GO).await;
        let group = heard(&mut server, "DATA\r\n").await;
        assert!(group.starts_with("Subject: mail 1\r\n"), "{group}");
        assert!(group.contains("\r\n..\r\n.\r\nMAIL FROM:<b+2@bounce.example.test>\r\n"), "{group}");
        say(&mut server, &format!("250 taken\r\n{GO}")).await;
        heard(&mut server, "\r\n.\r\n").await;
        say(&mut server, "250 taken\r\n").await;
        letters.verdicts(2).await;
        task.stop.cancel();
        heard(&mut server, "QUIT\r\n").await;
        say(&mut server, "221 bye\r\n").await;
    };
    let (outcome, ()) = tokio::join!(task.serve(client, None), script);
    assert!(outcome.worked && outcome.ended.is_ok());
    assert_eq!(letters.verdicts(2).await, [MailVerdict::Accepted, MailVerdict::Accepted]);
}

#[tokio::test]
async fn an_idle_connection_waits_for_the_answer_to_its_quit() {
    let letters = Letters::count(0);
    let reply = Duration::from_millis(200);
    let task =
        Task { timeouts: Timeouts { idle: reply, ..Timeouts::default().within(reply) }, ..task(&letters, reply) };
    let (client, mut server) = tokio::io::duplex(1 << 16);
    let script = async {
        say(&mut server, "220 mx\r\n").await;
        heard(&mut server, "EHLO loa.example.test\r\n").await;
        say(&mut server, HELLO).await;
        heard(&mut server, "QUIT\r\n").await;
        say(&mut server, "221 bye\r\n").await;
    };
    let (outcome, ()) = tokio::join!(task.serve(client, None), script);
    assert!(outcome.ended.is_ok(), "{:?}", outcome.ended.err().map(|error| error.chain()));
}

#[tokio::test]
async fn a_silent_server_is_left_in_time() {
    /// A server that says its lines, each after what it has to hear, and then nothing; what becomes of the one mail.
    async fn check(script: &[(&str, &str)], step: &str, expected: Option<MailVerdict>) {
        let letters = Letters::count(1);
        let task = task(&letters, Duration::from_millis(100));
        let (client, mut server) = tokio::io::duplex(1 << 16);
        let speaking = async {
            for (hear, says) in script {
                heard(&mut server, hear).await;
                say(&mut server, says).await;
            }
        };
        let (Outcome { worked, ended }, ()) = tokio::join!(task.serve(client, None), speaking);
        let why = ended.expect_err("it went silent").chain();
        assert_eq!((worked, why), (false, format!("the server did not answer in time while {step} was awaited")));
        let found = letters.lock().results.pop().map(|result| result.verdict);
        match (found, expected) {
            (Some(MailVerdict::NotWritten { .. }), Some(MailVerdict::NotWritten { .. })) => {}
            (found, expected) => assert_eq!(found, expected, "{step}"),
        }
    }
    let not_written = || Some(MailVerdict::NotWritten { why: String::new() });
    let script = [("", "220 mx\r\n"), ("EHLO loa.example.test\r\n", HELLO), ("DATA\r\n", "250 ok\r\n250 ok\r\n")];
    check(&[], "Greeting", None).await;
    check(&script[..1], "Hello", None).await;
    check(&script[..2], "Mail", not_written()).await;
    check(&script, "Data", not_written()).await;
    check(&[script[0], script[1], ("DATA\r\n", GO)], "Content", Some(MailVerdict::InDoubt)).await;
}

#[tokio::test]
async fn a_server_that_takes_nothing_more_leaves_the_mail_unwritten() {
    let letters = Letters::default();
    letters.add(Mail { data: vec![b'x'; 10_000].into(), ..letter(1, "an@example.test") });
    let letters = Arc::new(letters);
    let task = task(&letters, Duration::from_millis(50));
    let (client, mut server) = tokio::io::duplex(1_000); // the content does not fit, and nobody reads it
    let script = async {
        up_to_the_content(&mut server).await;
        say(&mut server, GO).await;
    };
    let (outcome, ()) = tokio::join!(task.serve(client, None), script);
    assert!(matches!(outcome.ended, Err(Broken::Stuck)));
    assert!(matches!(&letters.verdicts(1).await[..], [MailVerdict::NotWritten { .. }]));
}

#[tokio::test]
async fn nonsense_after_the_final_dot_is_in_doubt() {
    let letters = Letters::count(1);
    let task = task(&letters, LIMIT);
    let (client, mut server) = tokio::io::duplex(1 << 16);
    let script = async {
        up_to_the_content(&mut server).await;
        say(&mut server, GO).await;
        heard(&mut server, "\r\n.\r\n").await;
        say(&mut server, "hello?\r\n").await;
    };
    let (outcome, ()) = tokio::join!(task.serve(client, None), script);
    assert!(matches!(outcome.ended, Err(Broken::Session(_))));
    assert_eq!(letters.verdicts(1).await, [MailVerdict::InDoubt]);
}

#[tokio::test]
async fn a_mail_that_waited_is_asked_about_before_its_content_leaves() {
    for held in [true, false] {
        let letters = Letters::count(1);
        letters.lock().held = held;
        let task = task(&letters, LIMIT);
        let (client, mut server) = tokio::io::duplex(1 << 16);
        let script = async {
            up_to_the_content(&mut server).await;
            tokio::time::sleep(Duration::from_millis(300)).await; // a slow server: that is the case
            say(&mut server, GO).await;
            let mut rest = Vec::new();
            if held {
                server.read_to_end(&mut rest).await.expect("an end");
                assert!(rest.is_empty(), "nothing of the content left");
            } else {
                heard(&mut server, "\r\n.\r\n").await;
                say(&mut server, "250 taken\r\n").await;
                letters.verdicts(1).await;
                drop(server);
            }
        };
        let (outcome, ()) = tokio::join!(task.serve(client, None), script);
        let verdicts = letters.verdicts(1).await;
        if held {
            assert!(matches!(outcome.ended, Err(Broken::Withheld)));
            assert!(matches!(&verdicts[..], [MailVerdict::NotWritten { .. }]));
        } else {
            assert_eq!(verdicts, [MailVerdict::Accepted]);
        }
    }
}

#[tokio::test]
async fn cut_off_a_connection_still_answers() {
    let letters = Letters::count(3);
    let task = task(&letters, LIMIT);
    let (client, mut server) = tokio::io::duplex(1 << 16);
    let script = async {
        up_to_the_content(&mut server).await;
        say(&mut server, GO).await;
        heard(&mut server, "DATA\r\n").await; // the first content and the second envelope are here, unanswered
        task.stop.cancel();
        task.cut.cancel();
    };
    let (outcome, ()) = tokio::join!(task.serve(client, None), script);
    assert!(matches!(outcome.ended, Err(Broken::Cut)));
    let verdicts = letters.verdicts(2).await;
    assert!(matches!(&verdicts[..], [MailVerdict::InDoubt, MailVerdict::NotWritten { .. }]), "{verdicts:?}");
    assert_eq!(letters.lock().queue.len(), 1, "the third was never pulled");
}
