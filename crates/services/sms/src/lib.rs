//! The SMS gateway: claims, account buckets, correlator of receipts.
