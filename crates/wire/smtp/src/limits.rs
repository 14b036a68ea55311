//! Every size this crate refuses to go beyond.
//!
//! They stand together because both ends of a connection use them. Must stay true: nothing read from a peer makes
//! memory grow past these figures, and nothing written to a peer breaks the figures of RFC 5321 §4.5.3.1.

/// Longest reply line taken from a server, octets with its line end.
pub const REPLY_LINE_OCTETS_MAX: usize = 2_000;
/// Most lines of one reply.
pub const REPLY_LINES_MAX: usize = 100;
/// Most of a reply's text that is kept, octets.
pub const REPLY_TEXT_OCTETS_MAX: usize = 1_000;
/// Longest command line taken from a client, octets with its line end (RFC 5321 says 512; extensions add to it).
pub const COMMAND_LINE_OCTETS_MAX: usize = 2_000;
/// Longest local part of a mailbox, octets.
pub const LOCAL_PART_OCTETS_MAX: usize = 64;
/// Longest domain of a mailbox, octets.
pub const DOMAIN_OCTETS_MAX: usize = 253;
/// Longest mailbox, octets: a path is 256 with its two brackets.
pub const MAILBOX_OCTETS_MAX: usize = 254;
/// Longest line of a composed message, octets without its line end.
pub const TEXT_LINE_OCTETS_MAX: usize = 998;
/// Where header lines are folded, octets without the line end.
pub const HEADER_LINE_OCTETS: usize = 78;
/// Longest subject, octets of UTF-8.
pub const SUBJECT_OCTETS_MAX: usize = 1_000;
/// Longest display name of a mailbox, octets of UTF-8.
pub const NAME_OCTETS_MAX: usize = 256;
/// Longest text or HTML part before it is encoded, octets of UTF-8.
pub const BODY_OCTETS_MAX: usize = 1 << 20;
