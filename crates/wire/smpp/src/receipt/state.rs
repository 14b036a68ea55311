//! States a carrier reports, and what each means for a message.

/// `message_state` of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageState {
    Scheduled,
    EnRoute,
    Delivered,
    Expired,
    Deleted,
    Undeliverable,
    Accepted,
    Unknown,
    Rejected,
    Skipped,
}

/// What a receipt means for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Delivered,
    Expired,
    Undelivered,
    Rejected,
    /// The carrier does not know, or said a word nobody knows.
    Unknown,
    /// On the way: nothing changes.
    Unchanged,
}

impl MessageState {
    /// The state of the TLV's number.
    pub fn of_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Scheduled,
            1 => Self::EnRoute,
            2 => Self::Delivered,
            3 => Self::Expired,
            4 => Self::Deleted,
            5 => Self::Undeliverable,
            6 => Self::Accepted,
            7 => Self::Unknown,
            8 => Self::Rejected,
            9 => Self::Skipped,
            _ => return None,
        })
    }

    /// The state of a word of the text, by its first five letters: carriers cut and stretch the rest.
    pub fn of_word(word: &[u8]) -> Option<Self> {
        let starts = word.first_chunk::<5>()?.to_ascii_uppercase();
        Some(match &starts[..] {
            b"DELIV" => Self::Delivered,
            b"EXPIR" => Self::Expired,
            b"DELET" => Self::Deleted,
            b"UNDEL" | b"FAILE" => Self::Undeliverable,
            b"ACCEP" | b"ACKED" => Self::Accepted,
            b"UNKNO" => Self::Unknown,
            b"REJEC" => Self::Rejected,
            b"ENROU" | b"BUFFR" | b"BUFFE" => Self::EnRoute,
            b"SCHED" => Self::Scheduled,
            b"SKIPP" => Self::Skipped,
            _ => return None,
        })
    }

    /// What it means; `Accepted` may be a hop's word, so it changes nothing unless the account says otherwise.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Scheduled | Self::EnRoute | Self::Accepted => Outcome::Unchanged,
            Self::Delivered => Outcome::Delivered,
            Self::Expired => Outcome::Expired,
            Self::Deleted | Self::Undeliverable | Self::Skipped => Outcome::Undelivered,
            Self::Unknown => Outcome::Unknown,
            Self::Rejected => Outcome::Rejected,
        }
    }
}
