//! Every limit that more than one crate must agree on, with its unit.
//!
//! Must stay true: a limit is named here or is a configuration key; no number of this kind stands in other code.

/// Shards for the life of an installation; growth is more owners, not more shards.
pub const SHARDS: u8 = 64;
/// Partitions of references.v1 and receipts.v1 for the life of an installation: as many correlators can share the work. Each
/// round of receipts is one record of each partition, and a broker pays by the record, so they are few.
pub const CORRELATIONS: u8 = 16;
/// Recipients in one chunk, at most.
pub const CHUNK_RECIPIENTS_MAX: usize = 500;
/// Recipients in one slice, at most.
pub const SLICE_RECIPIENTS_MAX: usize = 100;
/// Bytes of one log record (key, headers and value), at most.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Parts of one SMS, at most; a longer text is refused, never cut.
pub const SMS_PARTS_MAX: usize = 10;
/// Named slots of one template, at most.
pub const SLOTS_MAX: usize = 32;
/// Characters of one slot value, at most.
pub const SLOT_CHARS_MAX: usize = 64;
/// Depth of a segment's rule tree, at most.
pub const RULE_DEPTH_MAX: usize = 16;
/// Nodes of a segment's rule tree, at most.
pub const RULE_NODES_MAX: usize = 256;
/// Bytes of one gRPC message, at most; imports stream.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows of one page of a list call, at most.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Rows of one page of a list call when the caller names no size.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
/// Characters of an idempotency key, at most (ASCII, at least one).
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 64;
/// How long an idempotency key is remembered, in hours.
pub const IDEMPOTENCY_HOURS: i64 = 72;
/// How long a receipt is waited for before the recipient is `unknown`, in hours.
pub const RECEIPT_HOURS_MAX: i64 = 72;
/// How long a released message may wait for its hand-over, in seconds (`hand_over_by`).
pub const HAND_OVER_S: i64 = 20;
/// A row without settlement is published again this long after its `hand_over_by`, in seconds.
pub const UNSETTLED_AGAIN_S: i64 = 30;
/// The age up to which a process may trust what it has read of control.v1 and blocks.v1, in milliseconds.
pub const VIEW_AGE_MS_MAX: u64 = 1_500;
/// A node whose beat has not changed for this long on the looker's own clock has lost its leases, in milliseconds.
pub const LEASE_SILENCE_MS: u64 = 4_000;
/// How long a hold of the installation may take until nothing is under way any more, in seconds.
pub const DRAIN_S: u64 = 30;
/// How long a hold of the installation lasts from its last renewal, in seconds: at least, and at most.
pub const HOLD_S: std::ops::RangeInclusive<u32> = 10..=300;
/// The reason of campaigns that are halted since the stores were put back from a backup.
pub const RESTORED: &str = "restored";

#[cfg(test)]
mod tests {
    use super::CHUNK_RECIPIENTS_MAX;

    #[test]
    fn a_chunk_fits_its_mask() {
        let whole = crate::mask::Mask::first(CHUNK_RECIPIENTS_MAX);
        assert_eq!(whole.len(), CHUNK_RECIPIENTS_MAX);
    }
}
