//! What mail servers answer, what clients send to our simulator, and the mails we write.

use std::collections::HashSet;

use loa_wire_smtp::server::{Command, Inbound, InboundError, Input};
use loa_wire_smtp::{Event, Mail, Session, TlsPolicy, dot};

use super::{class, kind, texts, told};

/// Mails offered to one session.
const MAILS: u32 = 6;

#[derive(Debug)]
struct Letter(u32);

impl Mail for Letter {
    fn return_path(&self) -> &str {
        "b+1@bounce.example.test"
    }

    fn recipient(&self) -> &str {
        "lan@example.test"
    }

    fn content(&self) -> &[u8] {
        b"Subject: x\r\n\r\n.x\r\n"
    }
}

pub(crate) fn reply_seeds() -> Vec<Vec<u8>> {
    let open = "220 mx ready\r\n250-mx\r\n250-SIZE 1000\r\n250 PIPELINING\r\n";
    let taken = "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n250 2.0.0 queued as 7\r\n";
    texts(&[
        &format!("{open}{taken}{taken}"),
        &format!("{open}250 ok\r\n550 5.1.1 no such user\r\n503 no\r\n"),
        &format!("{open}421 4.3.2 closing\r\n"),
        &format!("{open}250 ok\r\n250 ok\r\n354 go\r\n452-4.2.2 full\r\n452 4.2.2 again\r\n"),
        "554 go away\r\n",
        "220-a\r\n220 b\r\n250 mx\r\n",
        "hello\r\n",
    ])
}

/// Every mail comes back once, with one fate; replies in pieces say the same.
pub(crate) fn reply(input: &[u8]) -> u64 {
    let whole = fates(input, input.len().max(1));
    assert_eq!(whole, fates(input, 3), "the same replies in pieces say something else");
    told(whole)
}

fn fates(input: &[u8], piece: usize) -> Vec<String> {
    let mut session: Session<Letter> = Session::new("loa.example.test", TlsPolicy::Off).expect("a host name");
    let (mut said, mut back, mut offered) = (Vec::new(), HashSet::new(), 0);
    'reading: for octets in input.chunks(piece) {
        for octet in octets {
            session.input().push(*octet);
            loop {
                match session.next_event() {
                    Ok(None) => break,
                    Ok(Some(Event::Accepted { mail, reply })) => {
                        assert!(reply.is_positive() && back.insert(mail.0), "accepted twice, or by a refusal");
                        said.push("accepted".to_owned());
                    }
                    Ok(Some(Event::Refused { mail, step, .. })) => {
                        assert!(back.insert(mail.0), "refused after another fate");
                        said.push(format!("refused {step:?}"));
                    }
                    Ok(Some(Event::GoAhead)) => session.send(),
                    Ok(Some(Event::StartTls)) => session.secured(),
                    Ok(Some(Event::Open)) => said.push("open".to_owned()),
                    Ok(Some(Event::Closing { .. })) => said.push("closing".to_owned()),
                    Err(error) => {
                        said.push(kind(&error));
                        break 'reading;
                    }
                }
                while session.wants() && offered < MAILS {
                    offered += 1;
                    if let Err((mail, _)) = session.offer(Letter(offered)) {
                        back.insert(mail.0);
                    }
                }
                let pending = session.pending().len();
                session.wrote(pending);
            }
        }
    }
    for (mail, fate) in session.lost() {
        assert!(back.insert(mail.0), "lost after another fate");
        let text = format!("{fate:?}");
        said.push(text.split(['{', '(']).next().unwrap_or_default().to_owned());
    }
    assert_eq!(back.len(), offered as usize, "a mail has no fate");
    said
}

pub(crate) fn command_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "EHLO loa.example.test\r\nMAIL FROM:<a@b.test> SIZE=10\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: x\r\n\r\n..x\r\n.\r\nQUIT\r\n",
        "HELO x\r\nMAIL FROM:<>\r\nRSET\r\nNOOP\r\nSTARTTLS\r\n",
        "DATA\r\n.\r\n",
        "mail from:<a\r\n",
    ])
}

/// The simulator's cutter: pieces do not matter, and a content holds no end of a content.
pub(crate) fn command(input: &[u8]) -> u64 {
    let whole = inputs(input, input.len().max(1));
    assert_eq!(whole, inputs(input, 2), "the same octets in pieces are something else");
    told(whole)
}

fn inputs(input: &[u8], piece: usize) -> Vec<String> {
    let mut inbound = Inbound::new(1_000);
    let mut said = Vec::new();
    for octets in input.chunks(piece) {
        inbound.input().extend_from_slice(octets);
        loop {
            let begins = match inbound.next_input() {
                Ok(None) => break,
                Ok(Some(Input::Command(command))) => {
                    said.push(format!("{command:?}").split(['(', ' ']).next().unwrap_or_default().to_owned());
                    command == Command::Data
                }
                Ok(Some(Input::Content(content))) => {
                    assert!(!content.windows(5).any(|found| found == b"\r\n.\r\n"), "a content holds its end");
                    said.push(format!("content {}", class(content.len())));
                    false
                }
                Err(InboundError::LineTooLong | InboundError::ContentTooLarge { .. }) => {
                    said.push("too long".to_owned());
                    return said;
                }
            };
            if begins {
                inbound.begin_content();
            }
        }
    }
    said
}

pub(crate) fn compose_seeds() -> Vec<Vec<u8>> {
    texts(&["Subject: x\r\n\r\nbody\r\n", ".\r\n..\r\n", "a\n.b\r\n", "", "\r\n.\r\n", "x\r\n."])
}

/// Dots that are doubled are taken off again, and what is doubled holds no end.
pub(crate) fn compose(input: &[u8]) -> u64 {
    let mut stuffed = Vec::new();
    let added = dot::stuff(input, &mut stuffed);
    let wire = [b"\r\n", &stuffed[..]].concat();
    let ends = wire.windows(5).position(|found| found == b"\r\n.\r\n");
    assert!(ends.is_none_or(|at| at + 5 == wire.len()), "a content ends before its end");
    told((class(added), class(stuffed.len()), input.ends_with(b"\r\n")))
}
