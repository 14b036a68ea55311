//! The names of things: campaigns, freezes, chunks, releases, slices, messages, processes.
//!
//! A message id is computed from where the recipient stands in a freeze, never drawn, so the same freeze always yields
//! the same ids and a repeat can be recognised anywhere.
//!
//! Must stay true: ids order and print the same everywhere; `Display` parses back.

use std::fmt;
use std::str::FromStr;

use crate::limits::SHARDS;
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a {kind}; expected {expected}")]
pub struct IdError {
    kind: &'static str,
    given: String,
    expected: &'static str,
}

impl IdError {
    fn new(kind: &'static str, given: &str, expected: &'static str) -> Self {
        Self { kind, given: given.chars().take(80).collect(), expected }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Reads the 16 bytes of a record.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
                Uuid::from_slice(bytes)
                    .map(Self)
                    .map_err(|_| IdError::new($kind, &format!("{} bytes", bytes.len()), "16 bytes"))
            }

            /// The 16 bytes of a record.
            pub fn to_vec(self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            /// The 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| IdError::new($kind, text, "a UUID such as 01999999-0000-7000-8000-000000000000"))
            }
        }
    };
}

uuid_id!(
    /// One campaign, or one notice (single sends treat their notice as their campaign).
    CampaignId, "campaign id"
);
uuid_id!(
    /// One freeze of one campaign version, or one chunk of single sends.
    FreezeId, "freeze id"
);
uuid_id!(
    /// One start of one process; drawn at start, never reused.
    Incarnation, "incarnation"
);

/// One of the 64 parts of the people; an address always has the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u8);

impl Shard {
    /// All shards in order.
    pub fn all() -> impl Iterator<Item = Shard> {
        (0..SHARDS).map(Shard)
    }

    /// The shard of that number.
    pub fn new(number: u32) -> Result<Self, IdError> {
        match u8::try_from(number) {
            Ok(small) if small < SHARDS => Ok(Self(small)),
            _ => Err(IdError::new("shard", &number.to_string(), "0 to 63")),
        }
    }

    /// The shard's number, 0 to 63; also its partition.
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// The shard's number as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A chunk: at most 500 recipients of one variant, shard and route, cut by freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkKey {
    /// The freeze that cut it.
    pub freeze: FreezeId,
    /// The campaign variant, from 0.
    pub variant: u16,
    /// The chunk's number within the variant, from 0.
    pub chunk: u32,
}

/// A release: part of a chunk, offered once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReleaseKey {
    /// The chunk it takes from.
    pub chunk: ChunkKey,
    /// Its number within the chunk, from 1; a higher number is a later offer.
    pub release_no: u32,
}

/// A slice: part of a release, claimed and settled at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SliceKey {
    /// The release it is cut from.
    pub release: ReleaseKey,
    /// The slice's number within the release, from 0.
    pub slice: u16,
}

/// One message to one person: (freeze, variant, chunk, index).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// The chunk the recipient stands in.
    pub chunk: ChunkKey,
    /// The recipient's place in the chunk, from 0.
    pub index: u16,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.chunk.freeze, self.chunk.variant, self.chunk.chunk, self.index)
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::new("message id", text, "<freeze>.<variant>.<chunk>.<index>");
        let mut fields = text.split('.');
        let mut next = || fields.next().ok_or_else(wrong);
        let (freeze, variant, chunk, index) = (next()?, next()?, next()?, next()?);
        if fields.next().is_some() {
            return Err(wrong());
        }
        let chunk = ChunkKey {
            freeze: freeze.parse()?,
            variant: variant.parse().map_err(|_| wrong())?,
            chunk: chunk.parse().map_err(|_| wrong())?,
        };
        Ok(Self { chunk, index: index.parse().map_err(|_| wrong())? })
    }
}

/// A carrier account or a mail relay, as named in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(String);

impl AccountId {
    /// Accepts 1 to 32 characters of `a-z 0-9 _ -`.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if text.is_empty() || text.len() > 32 || !text.chars().all(legal) {
            return Err(IdError::new("account id", text, "1 to 32 characters of a-z, 0-9, _ and -"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_message_id_parses_back(freeze: u128, variant: u16, chunk: u32, index: u16) {
            let id = MessageId { chunk: ChunkKey { freeze: FreezeId(Uuid::from_u128(freeze)), variant, chunk }, index };
            prop_assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,80}") {
            prop_assert!(text.parse::<MessageId>().is_err());
            prop_assert!(AccountId::new(&text).is_err() || text.len() <= 32);
        }
    }

    #[test]
    fn shards_are_0_to_63() {
        assert_eq!(Shard::all().count(), 64);
        assert!(Shard::new(63).is_ok());
        assert!(Shard::new(64).is_err());
    }
}
