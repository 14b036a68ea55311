//! What may be stored: pure checks that collect every faulty field.
//!
//! Must stay true: a check changes nothing and asks nobody; what it must know of other objects is an argument. Every fault
//! names its field by its path in the request and says what is allowed.

pub(crate) mod campaign;
pub(crate) mod content;
pub(crate) mod field;
pub(crate) mod notice;
pub(crate) mod sender;
pub(crate) mod unit;
