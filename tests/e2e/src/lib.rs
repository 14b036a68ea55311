//! End-to-end tests of Loa: one behaviour a file in `tests/suite`, over the real binary or over two instances of every
//! role in a storm; each ends with the ledger compared with the sinks' books, recipient by recipient.
