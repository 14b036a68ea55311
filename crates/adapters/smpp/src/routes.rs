//! The pre-encoded parts of submits, by what is constant between messages: sender, validity, priority.
//!
//! Must stay true: bounded; bulk sending finds its route at the first look.

use std::sync::Arc;

use loa_ports::carrier::Submit;
use loa_wire_smpp::pdu::{Address, FieldError, Message, Route, RouteMessage, decimal};

/// Routes kept per connection; the oldest makes place.
const ROUTES_MAX: usize = 32;
/// User data begins with a header.
const ESM_UDHI: u8 = 0x40;
/// International number, E.164: every destination.
const INTERNATIONAL: (u8, u8) = (1, 1);
/// Numbers of at most this many digits are short codes.
const SHORT_CODE_DIGITS_MAX: usize = 6;

pub(crate) struct Routes {
    sender_ton_npi: Option<(u8, u8)>,
    kept: Vec<Kept>,
    /// Which one is replaced next.
    oldest: usize,
    /// Which one was used last.
    last: usize,
}

struct Kept {
    sender: Arc<str>,
    validity_s: u32,
    priority: u8,
    route: Route,
}

impl Routes {
    pub(crate) fn new(sender_ton_npi: Option<(u8, u8)>) -> Self {
        Self { sender_ton_npi, kept: Vec::new(), oldest: 0, last: 0 }
    }

    /// Appends the submit_sm of one part.
    pub(crate) fn encode(&mut self, out: &mut Vec<u8>, sequence: u32, submit: &Submit) -> Result<(), FieldError> {
        let route = self.find(submit)?;
        let mut digits = [0; 20];
        let message = RouteMessage {
            destination: decimal(submit.destination, &mut digits),
            esm_class: if submit.parts > 1 { ESM_UDHI } else { 0 },
            data_coding: submit.data_coding,
            header: &[],
            text: &submit.body,
        };
        route.encode(out, sequence, &message)
    }

    fn find(&mut self, submit: &Submit) -> Result<&Route, FieldError> {
        let same = |kept: &Kept| {
            kept.validity_s == submit.validity_s && kept.priority == submit.priority && kept.sender == submit.sender
        };
        if !self.kept.get(self.last).is_some_and(same) {
            self.last = match self.kept.iter().position(same) {
                Some(at) => at,
                None => self.make(submit)?,
            };
        }
        Ok(&self.kept[self.last].route)
    }

    fn make(&mut self, submit: &Submit) -> Result<usize, FieldError> {
        let kept = Kept {
            sender: Arc::clone(&submit.sender),
            validity_s: submit.validity_s,
            priority: submit.priority,
            route: route(submit, self.sender_ton_npi.unwrap_or_else(|| ton_npi(&submit.sender)))?,
        };
        if self.kept.len() < ROUTES_MAX {
            self.kept.push(kept);
            return Ok(self.kept.len() - 1);
        }
        let at = self.oldest;
        self.oldest = (at + 1) % ROUTES_MAX;
        self.kept[at] = kept;
        Ok(at)
    }
}

/// Type and plan of a sender as most carriers want them.
fn ton_npi(sender: &str) -> (u8, u8) {
    let digits = sender.strip_prefix('+').unwrap_or(sender);
    match digits.bytes().all(|octet| octet.is_ascii_digit()) {
        false => (5, 0),
        true if digits.len() <= SHORT_CODE_DIGITS_MAX => (3, 0),
        true => INTERNATIONAL,
    }
}

fn route(submit: &Submit, (ton, npi): (u8, u8)) -> Result<Route, FieldError> {
    let source = Address { ton, npi, address: submit.sender.as_bytes() };
    let destination = Address { ton: INTERNATIONAL.0, npi: INTERNATIONAL.1, address: b"" };
    let validity = validity(submit.validity_s);
    Route::new(&Message {
        source,
        destination,
        priority: submit.priority,
        validity: validity.as_bytes(),
        registered_delivery: 1,
        ..Message::default()
    })
}

/// `YYMMDDhhmmss000R`, relative; empty for the carrier's default. Months and years are not needed: a day count says it.
fn validity(seconds: u32) -> String {
    if seconds == 0 {
        return String::new();
    }
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    let days = (hours / 24).min(99);
    format!("0000{days:02}{:02}{:02}{:02}000R", hours % 24, minutes % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use loa_wire_smpp::pdu::{Cut, command, cut};

    fn submit(sender: &str, validity_s: u32, priority: u8) -> Submit {
        Submit {
            handle: 1,
            part: 0,
            parts: 2,
            destination: 84_912_345_678,
            sender: sender.into(),
            data_coding: 8,
            body: Bytes::from_static(b"\x05\x00\x03\x01\x02\x01\x00X"),
            validity_s,
            priority,
        }
    }

    #[track_caller]
    fn check(routes: &mut Routes, submit: &Submit, (ton, npi): (u8, u8), validity: &str) {
        let mut out = Vec::new();
        routes.encode(&mut out, 9, submit).unwrap();
        let Cut::Pdu { header, body, .. } = cut(&out) else { panic!("a PDU") };
        let message = Message::decode(command::SUBMIT_SM, body);
        assert_eq!((header.command, header.sequence), (command::SUBMIT_SM, 9));
        assert_eq!(message.source, Address { ton, npi, address: submit.sender.as_bytes() });
        assert_eq!(message.destination, Address { ton: 1, npi: 1, address: b"84912345678" });
        assert_eq!((message.esm_class, message.data_coding, message.registered_delivery), (0x40, 8, 1));
        assert_eq!((message.validity, message.priority), (validity.as_bytes(), submit.priority));
        assert_eq!(message.short_message, &submit.body[..]);
    }

    #[test]
    fn writes_what_the_submit_says() {
        let mut routes = Routes::new(None);
        check(&mut routes, &submit("BENTRE", 0, 0), (5, 0), "");
        check(&mut routes, &submit("1022", 59, 1), (3, 0), "000000000059000R");
        check(&mut routes, &submit("84275000000", 4 * 3_600, 0), (1, 1), "000000040000000R");
        check(&mut routes, &submit("BENTRE", 86_400 + 3_661, 0), (5, 0), "000001010101000R");
        check(&mut Routes::new(Some((0, 1))), &submit("1022", 0, 0), (0, 1), "");
    }

    #[test]
    fn many_senders_take_turns() {
        let mut routes = Routes::new(None);
        for number in 0..200 {
            check(&mut routes, &submit(&format!("SENDER{}", number % 70), 0, 0), (5, 0), "");
        }
        assert_eq!(routes.kept.len(), ROUTES_MAX);
    }

    #[test]
    fn a_sender_that_does_not_fit_is_refused_by_name() {
        let error = Routes::new(None).encode(&mut Vec::new(), 1, &submit(&"x".repeat(21), 0, 0)).unwrap_err();
        assert_eq!(error, FieldError::TooLong { field: "source_addr", octets: 21, octets_max: 20 });
    }
}
