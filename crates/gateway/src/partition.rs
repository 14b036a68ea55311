//! Where references and receipts meet: the partition of an account's message id.
//!
//! Must stay true: the gateway that submitted and the one that took the receipt compute the same key for the same id.

use loa_domain::hash::HashKey;
use loa_domain::limits::CORRELATIONS;

/// The keyed hash of (account, normal id): what a receipt is matched by.
pub fn id_key(key: &HashKey, account: &str, id: &str) -> u64 {
    // Accounts are at most 32 bytes, ids at most 65 and mostly short: no allocation for them.
    let mut bytes = [0_u8; 64];
    let length = account.len() + 1 + id.len();
    match bytes.get_mut(..length) {
        Some(bytes) => {
            bytes[..account.len()].copy_from_slice(account.as_bytes());
            bytes[account.len() + 1..].copy_from_slice(id.as_bytes());
            key.hash(bytes)
        }
        None => key.hash([account.as_bytes(), &[0], id.as_bytes()].concat().as_slice()),
    }
}

/// The partition of references.v1 and receipts.v1 for a key.
pub fn partition_of_key(key: u64) -> u32 {
    u32::try_from(key % u64::from(CORRELATIONS)).unwrap_or_default()
}

/// The partition of references.v1 and receipts.v1.
pub fn partition_of(key: &HashKey, account: &str, id: &str) -> u32 {
    partition_of_key(id_key(key, account, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> HashKey {
        HashKey::new([9; 16])
    }

    #[test]
    fn account_and_id_do_not_run_together() {
        assert_ne!(id_key(&key(), "ab", "c"), id_key(&key(), "a", "bc"));
        let long = "x".repeat(200);
        assert_eq!(id_key(&key(), "a", &long), key().hash(format!("a\0{long}").as_bytes()));
        assert_eq!(id_key(&key(), "a", "77"), key().hash(b"a\x0077"));
    }
}
