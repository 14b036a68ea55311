//! What a mail world has done, for tests and for people.

crate::counters::counters! {
    /// Connections open now.
    connected,
    /// Connections ever accepted.
    connections,
    /// Mails taken, one per recipient; each stands in the sink log.
    accepted,
    /// Recipients and contents refused.
    refused,
    /// Connections closed without a word, as a fault said.
    closed,
}
