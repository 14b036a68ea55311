//! An account's settings, turned once into what the wire needs: session limits, verdicts, identifiers, receipts.
//!
//! Must stay true: both sides of an identifier pass through the same [`IdForm`], so a receipt finds its message.

use std::num::NonZeroU16;
use std::time::Duration;

use loa_domain::msisdn::{Column, Msisdn};
use loa_domain::state::RecipientState;
use loa_ports::carrier::{CarrierAccount, CarrierReceipt, CarrierTls, StatusVerdict, SubmitVerdict};
use loa_wire_smpp::pdu::{Bind, BindMode, FieldError, Message};
use loa_wire_smpp::receipt::{IdForm, Outcome, Receipt, Side};
use loa_wire_smpp::session::SessionConfig;
use loa_wire_smpp::status::{self, Verdict, Verdicts};

/// Minutes east of UTC by which carriers in Vietnam write their dates.
const RECEIPT_ZONE_MINUTES: i16 = 7 * 60;
/// How long a bind may wait for its answer.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long unbind may wait for its answer before the socket is closed anyway.
const UNBIND_TIMEOUT: Duration = Duration::from_secs(1);

/// One account, ready for binds.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) tls: Option<CarrierTls>,
    pub(crate) session: SessionConfig,
    pub(crate) sender_ton_npi: Option<(u8, u8)>,
    system_id: String,
    system_type: String,
    password: String,
    verdicts: Verdicts,
    id_form: IdForm,
}

impl Account {
    pub(crate) fn new(account: &CarrierAccount) -> Self {
        let window = u16::try_from(account.window).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN);
        let overrides = account.status_overrides.iter().map(|(status, verdict)| (*status, verdict_of(*verdict)));
        Self {
            name: account.id.to_string(),
            address: account.address.clone(),
            tls: account.tls.clone(),
            session: SessionConfig {
                window,
                response_timeout: account.response_timeout,
                enquire_after: account.enquire_link,
                bind_timeout: BIND_TIMEOUT,
                unbind_timeout: UNBIND_TIMEOUT,
                expired_in_row_max: u32::from(window.get()).max(10),
            },
            sender_ton_npi: account.sender_ton_npi,
            system_id: account.system_id.clone(),
            system_type: account.system_type.clone(),
            password: account.password.0.clone(),
            verdicts: Verdicts::with_overrides(overrides),
            id_form: id_form_of(account.id_form),
        }
    }

    pub(crate) fn bind(&self) -> Bind<'_> {
        let bind = Bind::new(BindMode::Transceiver, self.system_id.as_bytes(), self.password.as_bytes());
        Bind { system_type: self.system_type.as_bytes(), ..bind }
    }

    /// Whether this status stops the bind.
    pub(crate) fn stops_link(&self, status: u32) -> bool {
        self.verdicts.verdict(status) == Verdict::Link
    }

    /// What an answer means for the part.
    pub(crate) fn answered(&self, status: u32, message_id: &[u8]) -> SubmitVerdict {
        match self.verdicts.verdict(status) {
            Verdict::Accepted => SubmitVerdict::Accepted { id: self.id(Side::Response, message_id) },
            Verdict::Throttle => SubmitVerdict::Throttled,
            // Not taken because of the link, not because of the message.
            Verdict::RetryMessage { .. } | Verdict::Link => SubmitVerdict::RetryLater { status },
            Verdict::Permanent | Verdict::Reroute => SubmitVerdict::Refused { status },
            Verdict::PermanentCampaign => SubmitVerdict::RefusedCampaign { status },
        }
    }

    /// What a part means that cannot be written at all: the carrier's own code for the same fault.
    pub(crate) fn unwritable(error: FieldError) -> SubmitVerdict {
        let (FieldError::TooLong { field, .. } | FieldError::Nul { field }) = error;
        match field {
            "source_addr" => SubmitVerdict::RefusedCampaign { status: status::RINVSRCADR },
            "destination_addr" => SubmitVerdict::Refused { status: status::RINVDSTADR },
            _ => SubmitVerdict::RefusedCampaign { status: RINVMSGLEN },
        }
    }

    /// A receipt in the port's words; `None` when it names no message. It comes from the number the message went to.
    pub(crate) fn receipt(&self, message: &Message<'_>, receipt: &Receipt<'_>, now_us: i64) -> Option<CarrierReceipt> {
        let id = self.id(Side::Receipt, receipt.id?);
        if id.is_empty() {
            return None;
        }
        let done_at_us = receipt.done.map(|stamp| stamp.unix_seconds(RECEIPT_ZONE_MINUTES).saturating_mul(1_000_000));
        Some(CarrierReceipt {
            id,
            state: state_of(receipt.outcome()),
            error: receipt.error.map(|code| code.as_str().to_owned()).unwrap_or_default(),
            done_at_us: done_at_us.unwrap_or(now_us),
            number: number(message.source.address),
            sender: String::from_utf8_lossy(message.destination.address).into_owned(),
        })
    }

    fn id(&self, side: Side, id: &[u8]) -> String {
        String::from_utf8_lossy(self.id_form.key(side, id).as_bytes()).into_owned()
    }
}

/// A number as carriers write it.
fn number(address: &[u8]) -> Option<Msisdn> {
    let text = std::str::from_utf8(address).ok()?;
    Msisdn::parse(text, Column::Any).ok().map(|parsed| parsed.number)
}

/// The message is longer than a PDU may say.
const RINVMSGLEN: u32 = 0x01;

fn verdict_of(verdict: StatusVerdict) -> Verdict {
    match verdict {
        StatusVerdict::Ok => Verdict::Accepted,
        StatusVerdict::Retry => Verdict::RetryMessage { tries_max: 3 },
        StatusVerdict::Throttle => Verdict::Throttle,
        StatusVerdict::Permanent => Verdict::Permanent,
        StatusVerdict::PermanentCampaign => Verdict::PermanentCampaign,
        StatusVerdict::Link => Verdict::Link,
    }
}

fn id_form_of(form: loa_ports::carrier::IdForm) -> IdForm {
    match form {
        loa_ports::carrier::IdForm::AsIs => IdForm::AsIs,
        loa_ports::carrier::IdForm::RespHexReceiptDec => IdForm::RespHexReceiptDec,
        loa_ports::carrier::IdForm::RespDecReceiptHex => IdForm::RespDecReceiptHex,
    }
}

fn state_of(outcome: Outcome) -> Option<RecipientState> {
    match outcome {
        Outcome::Delivered => Some(RecipientState::Delivered),
        Outcome::Expired => Some(RecipientState::Expired),
        Outcome::Undelivered => Some(RecipientState::Undelivered),
        Outcome::Rejected => Some(RecipientState::Rejected),
        Outcome::Unknown => Some(RecipientState::Unknown),
        Outcome::Unchanged => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use loa_domain::ids::AccountId;
    use loa_ports::carrier::Secret;
    use loa_wire_smpp::pdu::{Address, Message};

    /// An account as most are.
    pub(crate) fn account(address: &str, window: u32) -> CarrierAccount {
        CarrierAccount {
            id: AccountId::new("viet").unwrap(),
            address: address.to_owned(),
            system_id: "loa".to_owned(),
            password: Secret("secret".to_owned()),
            system_type: String::new(),
            window,
            id_form: loa_ports::carrier::IdForm::AsIs,
            sender_ton_npi: None,
            status_overrides: Vec::new(),
            response_timeout: Duration::from_secs(30),
            enquire_link: Duration::from_secs(30),
            tls: None,
        }
    }

    #[test]
    fn a_status_becomes_the_ports_verdict() {
        let mut settings = account("", 10);
        settings.status_overrides = vec![(0x45, StatusVerdict::Permanent), (0x0412, StatusVerdict::Link)];
        let account = Account::new(&settings);
        for (status, expected) in [
            (0x00, SubmitVerdict::Accepted { id: "42".to_owned() }),
            (0x58, SubmitVerdict::Throttled),
            (0x14, SubmitVerdict::Throttled),
            (0x08, SubmitVerdict::RetryLater { status: 0x08 }),
            (0x0B, SubmitVerdict::Refused { status: 0x0B }),
            (0x0A, SubmitVerdict::RefusedCampaign { status: 0x0A }),
            (0x45, SubmitVerdict::Refused { status: 0x45 }),
            (0x0412, SubmitVerdict::RetryLater { status: 0x0412 }),
        ] {
            assert_eq!(account.answered(status, b"0042"), expected, "{status:#x}");
        }
        assert!(account.stops_link(0x0412) && account.stops_link(0x04) && !account.stops_link(0x58));
    }

    #[test]
    fn a_receipt_finds_its_message_and_its_time() {
        let mut settings = account("", 10);
        settings.id_form = loa_ports::carrier::IdForm::RespDecReceiptHex;
        let account = Account::new(&settings);
        let SubmitVerdict::Accepted { id: answered } = account.answered(0, b"255") else { panic!("accepted") };
        let receipt = |text: &'static str| {
            let address = |address| Address { ton: 1, npi: 1, address };
            let (source, destination) = (address(&b"+84912345678"[..]), address(&b"BENTRE"[..]));
            let message =
                Message { source, destination, esm_class: 4, short_message: text.as_bytes(), ..Message::default() };
            account.receipt(&message, &Receipt::parse(&message).unwrap(), 7)
        };
        let told = receipt("id:00ff done date:2611240916 stat:UNDELIV err:001").unwrap();
        let state = Some(RecipientState::Undelivered);
        let expected = CarrierReceipt {
            id: answered,
            state,
            error: "001".to_owned(),
            done_at_us: 1_795_486_560_000_000,
            number: Msisdn::from_u64(84_912_345_678),
            sender: "BENTRE".to_owned(),
        };
        assert_eq!(told, expected);
        let told = receipt("id:1 stat:ENROUTE").unwrap();
        assert_eq!((told.state, told.done_at_us, told.error.as_str()), (None, 7, ""));
        assert_eq!(receipt("id:1 stat:STRANGE").unwrap().state, Some(RecipientState::Unknown));
        assert_eq!(receipt("stat:DELIVRD"), None);
    }
}
