//! Dispatch: release rows, credit, policy gate, intake of single sends.

mod core;
