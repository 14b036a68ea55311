//! SMPP 3.4 without sockets and without a clock: lenient codec, sessions with a window, receipt parser.
//!
//! It exists because ready client crates stall, lack a window or lose the framing on the first odd octet. Everything here
//! is a plain function over byte slices, so the adapter, the simulated message centre and the tests drive the same code.
//!
//! Must stay true: an odd PDU never costs the framing (the slice is cut to `command_length` before a field is read), and
//! the steady state allocates nothing per message: PDUs are written into one reused buffer, events borrow the input, the
//! window is a ring made once.
//!
//! | Module | Answers |
//! |---|---|
//! | [`pdu`] | how is it written and read? |
//! | [`status`] | what does a `command_status` mean for the message, the account, the link? |
//! | [`session`] | what may be sent now, and whose answer is this? |
//! | [`server`] | the same from the message centre's side (simulators) |
//! | [`receipt`] | what became of the message? |
//! | [`buffer`] | the reused read buffer of a connection |

pub mod buffer;
pub mod pdu;
pub mod receipt;
pub mod server;
pub mod session;
pub mod status;
