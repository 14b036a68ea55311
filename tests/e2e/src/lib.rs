//! One behaviour a file over the whole cluster, each ending with a ledger.
