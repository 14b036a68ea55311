//! The session against scripted servers, octet by octet.

use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter {
    to: String,
    content: Vec<u8>,
}

impl Mail for Letter {
    fn return_path(&self) -> &str {
        "b+1@bounce.example.test"
    }

    fn recipient(&self) -> &str {
        &self.to
    }

    fn content(&self) -> &[u8] {
        &self.content
    }
}

fn letter(name: &str) -> Letter {
    Letter { to: format!("{name}@example.test"), content: format!("Subject: {name}\r\n\r\n{name}\r\n").into_bytes() }
}

/// Takes everything pending as a socket would.
fn written(session: &mut Session<Letter>) -> String {
    let text = String::from_utf8(session.pending().to_vec()).expect("utf-8");
    session.wrote(text.len());
    text
}

/// Feeds a reply and names the events it causes, one word each.
fn feed(session: &mut Session<Letter>, octets: &str) -> Vec<String> {
    session.input().extend_from_slice(octets.as_bytes());
    let mut names = Vec::new();
    loop {
        match session.next_event() {
            Ok(Some(event)) => names.push(name(&event)),
            Ok(None) => return names,
            Err(error) => {
                names.push(format!("error {error}"));
                return names;
            }
        }
    }
}

fn name(event: &Event<Letter>) -> String {
    let who = |mail: &Letter| mail.to.split('@').next().unwrap_or_default().to_owned();
    match event {
        Event::StartTls => "starttls".to_owned(),
        Event::Open => "open".to_owned(),
        Event::GoAhead => "go".to_owned(),
        Event::Accepted { mail, reply } => format!("accepted {} {}", who(mail), reply.code),
        Event::Refused { mail, step, reply } => format!("refused {} {step:?} {}", who(mail), reply.codes()),
        Event::Closing { reply } => format!("closing {}", reply.code),
    }
}

fn opened(capabilities: &str) -> Session<Letter> {
    let mut session = Session::new("loa.example.test", TlsPolicy::Opportunistic).expect("a host name");
    assert!(feed(&mut session, "220 mx ready\r\n").is_empty());
    assert_eq!(written(&mut session), "EHLO loa.example.test\r\n");
    assert_eq!(feed(&mut session, &format!("250-mx\r\n250-SIZE 1000\r\n250 {capabilities}\r\n")), ["open"]);
    session
}

fn pipelined() -> Session<Letter> {
    opened("PIPELINING")
}

fn envelope(name: &str) -> String {
    let size = letter(name).content.len();
    format!("MAIL FROM:<b+1@bounce.example.test> SIZE={size}\r\nRCPT TO:<{name}@example.test>\r\nDATA\r\n")
}

fn content(name: &str) -> String {
    format!("Subject: {name}\r\n\r\n{name}\r\n.\r\n")
}

const GO: &str = "250 ok\r\n250 ok\r\n354 go\r\n";

#[test]
fn content_and_the_next_envelope_leave_in_one_write() {
    let mut session = pipelined();
    session.offer(letter("an")).expect("fits");
    assert!(!session.wants());
    assert_eq!(written(&mut session), envelope("an"));
    assert_eq!(feed(&mut session, GO), ["go"]);
    session.send();
    session.offer(letter("binh")).expect("fits");
    assert_eq!(written(&mut session), content("an") + &envelope("binh"));
    assert_eq!(feed(&mut session, &format!("250 2.0.0 queued\r\n{GO}")), ["accepted an 250", "go"]);
    session.send();
    assert_eq!(written(&mut session), content("binh"));
    session.quit();
    assert_eq!(written(&mut session), ""); // QUIT waits for the last reply
    assert_eq!(feed(&mut session, "250 ok\r\n"), ["accepted binh 250"]);
    assert_eq!(written(&mut session), "QUIT\r\n");
    assert_eq!(feed(&mut session, "221 bye\r\n"), ["closing 221"]);
    assert!(session.lost().is_empty());
}

#[test]
fn an_envelope_may_follow_a_content_already_written() {
    let mut session = pipelined();
    session.offer(letter("an")).expect("fits");
    written(&mut session);
    feed(&mut session, GO);
    session.send();
    assert_eq!(written(&mut session), content("an"));
    session.offer(letter("binh")).expect("fits");
    assert_eq!(written(&mut session), envelope("binh"));
    assert_eq!(feed(&mut session, "250 ok\r\n250 ok\r\n"), ["accepted an 250"]);
    assert_eq!(feed(&mut session, "250 ok\r\n354 go\r\n"), ["go"]);
}

#[test]
fn without_pipelining_each_command_waits() {
    let mut session = opened("HELP");
    session.offer(letter("an")).expect("fits");
    let dialogue = [
        ("MAIL FROM:<b+1@bounce.example.test> SIZE=19\r\n", "250 ok\r\n", &[][..]),
        ("RCPT TO:<an@example.test>\r\n", "250 ok\r\n", &[]),
        ("DATA\r\n", "354 go\r\n", &["go"]),
    ];
    for (says, answer, events) in dialogue {
        assert_eq!(written(&mut session), says);
        assert_eq!(feed(&mut session, answer), events);
    }
    session.send();
    assert!(!session.wants());
    assert_eq!(written(&mut session), content("an"));
    assert_eq!(feed(&mut session, "250 ok\r\n"), ["accepted an 250"]);
    assert!(session.wants());

    session.offer(letter("binh")).expect("fits");
    written(&mut session);
    assert_eq!(feed(&mut session, "550 5.7.1 no\r\n"), ["refused binh Mail 550 5.7.1"]);
    session.offer(letter("chi")).expect("fits");
    assert_eq!(written(&mut session), "RSET\r\n");
    feed(&mut session, "250 ok\r\n");
    assert_eq!(written(&mut session), "MAIL FROM:<b+1@bounce.example.test> SIZE=21\r\n");
}

#[test]
fn a_refused_recipient_costs_one_message_and_a_reset() {
    #[track_caller]
    fn check(replies: &str, event: &str, then: &str) {
        let mut session = pipelined();
        session.offer(letter("an")).expect("fits");
        written(&mut session);
        assert_eq!(feed(&mut session, replies), [event]);
        session.offer(letter("binh")).expect("fits");
        assert_eq!(written(&mut session), format!("{then}RSET\r\n{}", envelope("binh")));
        let answer = if then.is_empty() { String::new() } else { "554 no valid recipients\r\n".to_owned() };
        assert_eq!(feed(&mut session, &format!("{answer}250 ok\r\n{GO}")), ["go"]);
        session.send();
        written(&mut session);
        assert_eq!(feed(&mut session, "250 ok\r\n"), ["accepted binh 250"]);
    }
    check("250 ok\r\n550 5.1.1 unknown\r\n503 5.5.1 no\r\n", "refused an Recipient 550 5.1.1", "");
    check("451 4.7.1 later\r\n503 no\r\n503 no\r\n", "refused an Mail 451 4.7.1", "");
    check("250 ok\r\n250 ok\r\n452 4.3.1 full\r\n", "refused an Data 452 4.3.1", "");
    // A server that says 354 all the same gets the dot alone, never the content.
    check("250 ok\r\n450 4.2.0 grey\r\n354 go\r\n", "refused an Recipient 450 4.2.0", ".\r\n");
}

#[test]
fn a_refused_content_is_a_refusal_of_that_message_only() {
    let mut session = pipelined();
    session.offer(letter("an")).expect("fits");
    written(&mut session);
    feed(&mut session, GO);
    session.send();
    session.offer(letter("binh")).expect("fits");
    written(&mut session);
    let events = feed(&mut session, &format!("554 5.7.1 spam\r\n{GO}"));
    assert_eq!(events, ["refused an Content 554 5.7.1", "go"]);
}

#[test]
fn a_421_ends_the_connection_wherever_it_comes() {
    let mut session = pipelined();
    assert_eq!(feed(&mut session, "421 4.4.2 idle\r\n"), ["closing 421"]);
    assert!(!session.wants());

    let mut session = pipelined();
    session.offer(letter("an")).expect("fits");
    written(&mut session);
    assert_eq!(feed(&mut session, "421 4.7.0 slow down\r\n"), ["refused an Mail 421 4.7.0", "closing 421"]);

    let mut session = pipelined();
    session.offer(letter("an")).expect("fits");
    written(&mut session);
    feed(&mut session, GO);
    session.send();
    session.offer(letter("binh")).expect("fits");
    written(&mut session);
    assert_eq!(feed(&mut session, "421 4.3.2 going down\r\n"), ["refused an Content 421 4.3.2", "closing 421"]);
    assert_eq!(session.lost(), [(letter("binh"), Fate::NotHandedOver)]);
}

#[test]
fn a_lost_connection_tells_what_the_server_may_hold() {
    /// What becomes of `an` and `binh` when the socket took `taken` octets of both.
    #[track_caller]
    fn check(taken: usize, expected: [Fate; 2]) {
        let mut session = pipelined();
        session.offer(letter("an")).expect("fits");
        written(&mut session);
        feed(&mut session, GO);
        session.send();
        session.offer(letter("binh")).expect("fits");
        session.wrote(taken);
        let fates: Vec<_> = session.lost().into_iter().map(|(_, fate)| fate).collect();
        assert_eq!(fates, expected, "{taken} octets taken");
    }
    let dot = content("an").len() - 3;
    check(0, [Fate::NotHandedOver, Fate::NotHandedOver]);
    check(dot, [Fate::NotHandedOver, Fate::NotHandedOver]); // all but the final dot
    check(dot + 1, [Fate::InDoubt, Fate::NotHandedOver]);
    check(dot + 3 + envelope("binh").len(), [Fate::InDoubt, Fate::NotHandedOver]);

    // A refusal already read stands, though the rest of the group was never answered.
    let mut session = pipelined();
    session.offer(letter("an")).expect("fits");
    written(&mut session);
    feed(&mut session, "250 ok\r\n550 5.1.1 unknown\r\n");
    let [(_, fate)] = session.lost().try_into().expect("one message");
    assert!(matches!(fate, Fate::Refused { step: Step::Recipient, reply } if reply.code == 550));
}

#[test]
fn nonsense_after_the_dot_leaves_the_message_in_doubt() {
    for answer in ["354 go\r\n", "hello\r\n"] {
        let mut session = pipelined();
        session.offer(letter("an")).expect("fits");
        written(&mut session);
        feed(&mut session, GO);
        session.send();
        written(&mut session);
        assert!(feed(&mut session, answer)[0].starts_with("error"));
        assert!(!session.wants());
        assert_eq!(session.lost(), [(letter("an"), Fate::InDoubt)]);
    }
}

#[test]
fn a_withheld_message_comes_back_whole() {
    let mut session = pipelined();
    session.offer(letter("an")).expect("fits");
    written(&mut session);
    assert_eq!(feed(&mut session, GO), ["go"]);
    assert_eq!(session.withhold(), letter("an"));
    assert!(session.pending().is_empty() && !session.wants());
    assert!(session.lost().is_empty());
}

#[test]
fn what_a_server_cannot_take_is_not_offered_to_it() {
    #[track_caller]
    fn check(capabilities: &str, mail: Letter, unfit: Unfit) {
        let mut session = opened(capabilities);
        assert_eq!(session.offer(mail.clone()).err(), Some((mail, unfit)));
        assert!(session.pending().is_empty() && session.wants());
    }
    let to = |to: &str| Letter { to: to.to_owned(), ..letter("an") };
    let holds = |content: &str| Letter { content: content.as_bytes().to_vec(), ..letter("an") };
    check("PIPELINING", to("a b@c"), Unfit::Recipient(mailbox::MailboxError::Character));
    check("PIPELINING", to("nguyễn@example.test"), Unfit::NeedsSmtpUtf8);
    check("PIPELINING", holds("ế"), Unfit::NeedsEightBit);
    check("PIPELINING", holds(&"x".repeat(1_001)), Unfit::TooLarge { octets_max: 1_000 });

    let mut session = opened("SMTPUTF8");
    assert!(session.offer(to("nguyễn@example.test")).is_ok_and(|()| written(&mut session).contains(" SMTPUTF8\r\n")));
    let mut session = opened("8BITMIME");
    assert!(session.offer(holds("ế")).is_ok_and(|()| written(&mut session).contains(" BODY=8BITMIME\r\n")));
}

#[test]
fn tls_follows_the_policy() {
    #[track_caller]
    fn after_hello(tls: TlsPolicy, offers: &str) -> (Session<Letter>, Vec<String>, String) {
        let mut session = Session::new("loa", tls).expect("a name");
        feed(&mut session, "220 mx\r\n");
        written(&mut session);
        let events = feed(&mut session, &format!("250-mx\r\n250 {offers}\r\n"));
        let says = written(&mut session);
        (session, events, says)
    }
    assert_eq!(after_hello(TlsPolicy::Off, "STARTTLS").1, ["open"]);
    assert_eq!(after_hello(TlsPolicy::Opportunistic, "HELP").1, ["open"]);
    assert!(after_hello(TlsPolicy::Required, "HELP").1[0].starts_with("error the server does not offer STARTTLS"));

    let (mut session, events, says) = after_hello(TlsPolicy::Required, "STARTTLS");
    assert_eq!((events.len(), says.as_str()), (0, "STARTTLS\r\n"));
    assert_eq!(feed(&mut session, "220 go\r\n"), ["starttls"]);
    session.secured();
    assert_eq!(written(&mut session), "EHLO loa\r\n");
    assert_eq!(feed(&mut session, "250-mx\r\n250 PIPELINING\r\n"), ["open"]);
    assert!(session.is_secured() && session.wants());

    let (mut session, ..) = after_hello(TlsPolicy::Required, "STARTTLS");
    assert!(feed(&mut session, "220 go\r\n250 injected\r\n")[0].starts_with("error")); // put in by somebody between
    let (mut session, ..) = after_hello(TlsPolicy::Opportunistic, "STARTTLS");
    assert_eq!(feed(&mut session, "454 4.7.0 no TLS now\r\n"), ["open"]);
    let (mut session, ..) = after_hello(TlsPolicy::Required, "STARTTLS");
    assert!(feed(&mut session, "454 4.7.0 no TLS now\r\n")[0].starts_with("error"));
}

#[test]
fn greets_old_servers_and_leaves_unwilling_ones() {
    let mut session = Session::new("loa", TlsPolicy::Opportunistic).expect("a name");
    feed(&mut session, "220 old\r\n");
    written(&mut session);
    assert!(feed(&mut session, "502 5.5.1 what?\r\n").is_empty());
    assert_eq!(written(&mut session), "HELO loa\r\n");
    assert_eq!(feed(&mut session, "250 old\r\n"), ["open"]);
    assert_eq!(session.capabilities(), Capabilities::default());

    let mut session: Session<Letter> = Session::new("loa", TlsPolicy::Off).expect("a name");
    session.input().extend_from_slice(b"554 5.7.1 go away\r\n");
    assert!(
        matches!(session.next_event(), Err(SessionError::Unwelcome { step: Step::Greeting, reply }) if reply.code == 554)
    );

    for bad in ["", "a b", "a\r\nQUIT", "ế"] {
        assert!(Session::<Letter>::new(bad, TlsPolicy::Off).is_err(), "{bad:?}");
    }
}

#[test]
fn tells_what_is_awaited() {
    let mut session = Session::<Letter>::new("loa", TlsPolicy::Off).expect("a name");
    assert_eq!(session.awaits(), Some(Step::Greeting));
    session = pipelined();
    assert_eq!(session.awaits(), None);
    session.offer(letter("an")).expect("fits");
    assert_eq!(session.awaits(), Some(Step::Mail));
    feed(&mut session, GO);
    session.send();
    assert_eq!(session.awaits(), Some(Step::Content));
}
