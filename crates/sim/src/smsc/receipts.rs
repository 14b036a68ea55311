//! Receipts on their way: which bind carries them, their text, and what was not acknowledged.
//!
//! Must stay true: a receipt is forgotten only when the client acknowledged it with status 0; the receipts of a closed
//! connection wait for the next one of the same login that may carry them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use loa_wire_smpp::pdu::{Address, Message, Tlvs, decimal, put_tlv, tag};
use loa_wire_smpp::receipt::{IdForm, MessageState};
use loa_wire_smpp::server::ServerSession;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::Receipts;

/// An address of at most 20 octets, copied without an allocation.
#[derive(Clone, Copy)]
pub(super) struct Short {
    octets: [u8; 20],
    length: u8,
    ton: u8,
    npi: u8,
}

impl Short {
    fn of(address: Address<'_>) -> Self {
        let taken = address.address.len().min(20);
        let mut octets = [0; 20];
        octets[..taken].copy_from_slice(&address.address[..taken]);
        let length = u8::try_from(taken).expect("at most 20");
        Self { octets, length, ton: address.ton, npi: address.npi }
    }

    fn address(&self) -> Address<'_> {
        Address { ton: self.ton, npi: self.npi, address: &self.octets[..usize::from(self.length)] }
    }
}

/// A receipt that was not acknowledged yet.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) due: Instant,
    pub(super) submitted_us: u64,
    pub(super) id: u64,
    pub(super) state: MessageState,
    number: Short,
    sender: Short,
}

impl Pending {
    pub(super) fn of(message: &Message<'_>, id: u64, state: MessageState, submitted_us: u64, due: Instant) -> Self {
        let (number, sender) = (Short::of(message.destination), Short::of(message.source));
        Self { due, submitted_us, id, state, number, sender }
    }
}

/// Receipts other connections left for this one.
#[derive(Default)]
pub(super) struct Outbox {
    queue: Mutex<VecDeque<Pending>>,
    pub(super) filled: Notify,
}

impl Outbox {
    pub(super) fn drain_into(&self, pending: &mut VecDeque<Pending>) {
        pending.append(&mut lock(&self.queue));
    }
}

/// Binds that may carry receipts, and receipts for which there is none.
///
/// Every login is a world of its own: a carrier tells no customer of another one's messages.
#[derive(Default)]
pub(super) struct Exchange {
    logins: Mutex<HashMap<Vec<u8>, Login>>,
}

/// What one `system_id` has.
#[derive(Default)]
struct Login {
    receivers: Vec<(u64, Arc<Outbox>)>,
    orphans: VecDeque<Pending>,
    turn: usize,
}

impl Exchange {
    /// A bind may carry receipts of its login from now on; it gets those that wait.
    pub(super) fn join(&self, login: &[u8], connection: u64, outbox: &Arc<Outbox>) {
        let mut logins = lock(&self.logins);
        let state = logins.entry(login.to_vec()).or_default();
        lock(&outbox.queue).append(&mut state.orphans);
        outbox.filled.notify_one();
        state.receivers.push((connection, Arc::clone(outbox)));
    }

    /// A bind has ended; what it still had goes to others of its login.
    pub(super) fn leave(&self, login: &[u8], connection: u64, outbox: &Outbox, left: &mut VecDeque<Pending>) {
        let mut logins = lock(&self.logins);
        if let Some(state) = logins.get_mut(login) {
            state.receivers.retain(|(number, _)| *number != connection);
        }
        left.append(&mut lock(&outbox.queue));
        drop(logins); // so that nobody adds to an outbox nobody reads, and `pass_on` can lock again
        self.pass_on(login, connection, left);
    }

    /// Gives receipts to another bind of the login than `from`, or keeps them until there is one.
    pub(super) fn pass_on(&self, login: &[u8], from: u64, receipts: &mut VecDeque<Pending>) {
        if receipts.is_empty() {
            return;
        }
        let mut logins = lock(&self.logins);
        let state = logins.entry(login.to_vec()).or_default();
        state.turn = state.turn.wrapping_add(1);
        let others: Vec<&Arc<Outbox>> =
            state.receivers.iter().filter(|(number, _)| *number != from).map(|(_, outbox)| outbox).collect();
        if let Some(outbox) = others.get(state.turn % others.len().max(1)) {
            lock(&outbox.queue).append(receipts);
            outbox.filled.notify_one();
        } else {
            state.orphans.append(receipts);
        }
    }

    /// Whether a bind of the login other than `from` may carry receipts.
    pub(super) fn others(&self, login: &[u8], from: u64) -> bool {
        let logins = lock(&self.logins);
        logins.get(login).is_some_and(|state| state.receivers.iter().any(|(number, _)| *number != from))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The identifier of an answer.
pub(super) fn response_id(form: IdForm, id: u64, digits: &mut [u8; 20]) -> &[u8] {
    if form == IdForm::RespHexReceiptDec { hex(id, digits) } else { decimal(id, digits) }
}

/// The same identifier in a receipt.
fn receipt_id(form: IdForm, id: u64, digits: &mut [u8; 20]) -> &[u8] {
    if form == IdForm::RespDecReceiptHex { hex(id, digits) } else { decimal(id, digits) }
}

fn hex(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[usize::try_from(number & 0xF).expect("a nibble fits")];
        number >>= 4;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Writes receipts; its memory is reused.
#[derive(Default)]
pub(super) struct Writer {
    text: Vec<u8>,
    tlvs: Vec<u8>,
    submitted: Minute,
    done: Minute,
}

impl Writer {
    /// Appends the receipt to what the connection will write; gives back its sequence number.
    pub(super) fn write(
        &mut self,
        session: &mut ServerSession,
        pending: &Pending,
        form: IdForm,
        receipts: &Receipts,
        now_us: u64,
    ) -> Option<u32> {
        let (word, number, error) = match pending.state {
            MessageState::Delivered => (&b"DELIVRD"[..], 2, &b"000"[..]),
            MessageState::Expired => (&b"EXPIRED"[..], 3, &b"027"[..]),
            _ => (&b"UNDELIV"[..], 5, &b"001"[..]),
        };
        let mut digits = [0; 20];
        let id = receipt_id(form, pending.id, &mut digits);
        self.text.clear();
        let delivered = if number == 2 { &b"001"[..] } else { b"000" };
        let dated = |us: u64| us.saturating_add_signed(receipts.clock_ahead_us);
        let (submitted, done) = (self.submitted.of(dated(pending.submitted_us)), self.done.of(dated(now_us)));
        for piece in [
            b"id:",
            id,
            b" sub:001 dlvrd:",
            delivered,
            b" submit date:",
            submitted,
            b" done date:",
            done,
            b" stat:",
            word,
            b" err:",
            error,
            b" text:",
        ] {
            self.text.extend_from_slice(piece);
        }
        self.tlvs.clear();
        if receipts.tlvs {
            put_tlv(&mut self.tlvs, tag::MESSAGE_STATE, &[number]);
            let mut value = [0; 21];
            value[..id.len()].copy_from_slice(id);
            put_tlv(&mut self.tlvs, tag::RECEIPTED_MESSAGE_ID, &value[..=id.len()]);
        }
        let message = Message {
            source: pending.number.address(),
            destination: pending.sender.address(),
            esm_class: 0x04,
            short_message: &self.text,
            tlvs: Tlvs(&self.tlvs),
            ..Message::default()
        };
        session.deliver(&message).ok()
    }
}

/// Vietnam's clock, by which the simulated carrier writes its dates.
const ZONE_MINUTES: u64 = 7 * 60;

/// `YYMMDDhhmm` of the last minute asked for; receipts of one minute share it.
#[derive(Default)]
struct Minute {
    minute: u64,
    digits: [u8; 10],
}

impl Minute {
    fn of(&mut self, unix_us: u64) -> &[u8] {
        let minute = unix_us / 60_000_000 + ZONE_MINUTES;
        if minute != self.minute {
            self.minute = minute;
            let (year, month, day) = civil(minute / (24 * 60));
            let parts = [year % 100, month, day, minute / 60 % 24, minute % 60];
            for (place, part) in self.digits.chunks_exact_mut(2).zip(parts) {
                let digit = |digit| b'0' + u8::try_from(digit % 10).expect("a digit fits");
                place.copy_from_slice(&[digit(part / 10), digit(part)]);
            }
        }
        &self.digits
    }
}

/// Year, month and day of a day since 1970, by the calendar whose year starts in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_wire_smpp::receipt::Stamp;

    #[test]
    fn dates_are_read_back() {
        let mut minute = Minute::default();
        for seconds in [0, 951_782_400, 1_709_172_960, 1_795_486_560, 1_795_486_619, 4_102_400_000] {
            let text = minute.of(seconds * 1_000_000).to_vec();
            let zone = i16::try_from(ZONE_MINUTES).unwrap();
            let read = u64::try_from(Stamp::parse(&text).unwrap().unix_seconds(zone)).unwrap();
            // Two digits of the year are read as 20yy, which does not fit 1970.
            let expected = if seconds == 0 { 3_155_760_000 } else { seconds / 60 * 60 };
            assert_eq!(read, expected, "{}", String::from_utf8_lossy(&text));
        }
    }
}
