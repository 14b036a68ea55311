//! The ledger: projection, totals, look-up, progress, exports.
