//! Pure rules of Loa: ids, numbers, texts, templates, segments, states, policy.
//!
//! Must stay true: no I/O, no clock, no randomness; time and keys are arguments, so every rule can be tested by a table.
#![warn(missing_docs)]

pub mod address;
pub mod admin;
pub mod campaign;
pub mod channel;
pub mod hash;
pub mod hours;
pub mod ids;
pub mod limits;
pub mod mask;
pub mod msisdn;
pub mod place;
pub mod policy;
pub mod segment;
pub mod state;
pub mod template;
pub mod text;
