//! The keyed hash of an address: what stands for a person wherever the address itself is not needed.
//!
//! SipHash-2-4 under a 128-bit key that is fixed for the installation's life. The top six bits are the shard.
//!
//! Must stay true: the same address gives the same hash in every process of an installation, for ever; without the key
//! the hash says nothing about the address (it is still personal data: pseudonymous, not anonymous).

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::channel::Channel;
use crate::ids::Shard;

/// The installation's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// Takes the 16 bytes of the key file.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// What may be shown and compared: two processes with another fingerprint must not work together.
    pub fn fingerprint(&self) -> String {
        format!("{:016x}", self.hash(b"loa hash key fingerprint"))
    }

    /// The keyed hash of any bytes; for partition keys and idempotency keys.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(bytes);
        hasher.finish()
    }

    /// The hash of a channel address in its wire form: E.164 digits, or a lower-cased mailbox.
    pub fn address(&self, channel: Channel, address: &str) -> AddressHash {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[channel.code()]);
        hasher.write(address.as_bytes());
        AddressHash(hasher.finish())
    }

    /// The hash of a mailbox; upper and lower case are one person.
    pub fn mailbox(&self, mailbox: &str) -> AddressHash {
        if mailbox.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.address(Channel::Email, &mailbox.to_ascii_lowercase());
        }
        self.address(Channel::Email, mailbox)
    }

    /// The hash of a subscriber number (its digits as in E.164, without plus).
    pub fn number(&self, msisdn: u64) -> AddressHash {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = msisdn;
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).expect("a decimal digit fits in u8");
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[Channel::Sms.code()]);
        hasher.write(&digits[at..]);
        AddressHash(hasher.finish())
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashKey({})", self.fingerprint())
    }
}

/// The keyed hash of one channel address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressHash(pub u64);

impl AddressHash {
    /// The shard that this person belongs to.
    pub fn shard(self) -> Shard {
        Shard::new(u32::try_from(self.0 >> 58).expect("six bits fit in u32")).expect("six bits are below 64")
    }

    /// The hash as a signed number that sorts like the hash, for databases without unsigned integers.
    pub fn to_ordered_i64(self) -> i64 {
        (self.0 ^ (1 << 63)).cast_signed()
    }

    /// The reverse of [`AddressHash::to_ordered_i64`].
    pub fn from_ordered_i64(ordered: i64) -> Self {
        Self(ordered.cast_unsigned() ^ (1 << 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: HashKey = HashKey([7; 16]);

    proptest! {
        #[test]
        fn numbers_hash_like_their_digits(number: u64) {
            prop_assert_eq!(KEY.number(number), KEY.address(Channel::Sms, &number.to_string()));
        }

        #[test]
        fn the_signed_form_keeps_the_order(a: u64, b: u64) {
            let (a, b) = (AddressHash(a), AddressHash(b));
            prop_assert_eq!(a.cmp(&b), a.to_ordered_i64().cmp(&b.to_ordered_i64()));
            prop_assert_eq!(AddressHash::from_ordered_i64(a.to_ordered_i64()), a);
        }
    }

    #[test]
    fn case_does_not_make_another_person() {
        assert_eq!(KEY.mailbox("Lan@Example.test"), KEY.mailbox("lan@example.test"));
        assert_eq!(KEY.mailbox("lan@example.test"), KEY.address(Channel::Email, "lan@example.test"));
    }

    #[test]
    fn channels_keep_people_apart() {
        assert_ne!(KEY.address(Channel::Sms, "84912345678"), KEY.address(Channel::Email, "84912345678"));
    }

    #[test]
    fn the_top_bits_are_the_shard() {
        assert_eq!(AddressHash(0).shard().number(), 0);
        assert_eq!(AddressHash(u64::MAX).shard().number(), 63);
    }
}
