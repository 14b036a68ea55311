//! How a simulated message centre behaves: logins, receipts, faults.
//!
//! Must stay true: what becomes of a message is a function of its number and text, not of chance, so a run can be
//! repeated and a test can tell the outcome beforehand.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use loa_wire_smpp::receipt::IdForm;

use crate::log::SinkLog;

/// Everything a message centre needs to start.
#[derive(Clone)]
pub struct SmscConfig {
    /// Its name in bind responses.
    pub system_id: String,
    /// Who may bind, as system_id and password; empty = everybody.
    pub logins: Vec<(String, String)>,
    /// Connections bound at the same time; one more is refused as already bound.
    pub binds_max: usize,
    /// Where accepted messages are written.
    pub log: Arc<SinkLog>,
    /// Messages kept to look at.
    pub inbox_max: usize,
    /// How identifiers look in answers and in receipts.
    pub id_form: IdForm,
    pub receipts: Receipts,
    pub faults: Faults,
}

impl Default for SmscConfig {
    fn default() -> Self {
        Self {
            system_id: "loa-sim".to_owned(),
            logins: Vec::new(),
            binds_max: 100,
            log: Arc::new(SinkLog::none()),
            inbox_max: 10_000,
            id_form: IdForm::AsIs,
            receipts: Receipts::default(),
            faults: Faults::default(),
        }
    }
}

/// What receipts say, when and where they come.
#[derive(Debug, Clone)]
pub struct Receipts {
    /// Receipts are sent where the submit asks for them.
    pub on: bool,
    /// Of 1,000 messages so many are undelivered.
    pub undelivered_permille: u16,
    /// So many expire.
    pub expired_permille: u16,
    /// So many get no receipt at all; the rest is delivered.
    pub missing_permille: u16,
    /// Of 1,000 receipts so many come twice.
    pub duplicate_permille: u16,
    /// Time from the submit to its receipt.
    pub delay: Duration,
    /// None leaves before this is false again; what has gathered then leaves at once.
    pub held: bool,
    /// Receipts leave on another bind than the submit's, where there is one.
    pub on_other_bind: bool,
    /// Identifier and state also stand in TLVs.
    pub tlvs: bool,
    /// The carrier's clock, by which it writes dates, is ahead of the machine's by this much; negative = behind.
    pub clock_ahead_us: i64,
}

impl Default for Receipts {
    fn default() -> Self {
        Self {
            on: true,
            undelivered_permille: 0,
            expired_permille: 0,
            missing_permille: 0,
            duplicate_permille: 0,
            delay: Duration::ZERO,
            held: false,
            on_other_bind: false,
            tlvs: true,
            clock_ahead_us: 0,
        }
    }
}

/// How the message centre misbehaves.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Parts per second over all connections; more are answered with RTHROTTLED.
    pub parts_per_second_max: Option<NonZeroU32>,
    /// Time between a request and its answer.
    pub latency: Duration,
    /// Takes and logs everything, answers nothing, not even enquire_link.
    pub silent: bool,
    /// A connection is closed after so many submits; those of its last read are logged and not answered.
    pub close_after_submits: Option<u64>,
    /// Numbers that are refused.
    pub refusals: Vec<Refusal>,
    /// Every bind is refused with this status.
    pub refuse_bind: Option<u32>,
}

/// Numbers with this ending are refused with this status.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub number_ends: String,
    pub status: u32,
}
