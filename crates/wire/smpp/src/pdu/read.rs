//! Lenient field reader over one PDU's body.
//!
//! Must stay true: it never fails and never leaves its slice; what was missing or too long is remembered as `odd`, so the
//! caller can count it and keep the raw octets.

/// Reads fields from the front of a body.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    odd: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, odd: false }
    }

    /// One octet; 0 when the body has ended.
    pub(crate) fn octet(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((&octet, rest)) => {
                self.rest = rest;
                octet
            }
            None => {
                self.odd = true;
                0
            }
        }
    }

    /// A C octet string without its NUL; up to the end of the body when the NUL is missing.
    ///
    /// `octets_max` counts the NUL, as the specification does; a longer field is taken whole and marked odd.
    pub(crate) fn c_string(&mut self, octets_max: usize) -> &'a [u8] {
        let end = self.rest.iter().position(|&octet| octet == 0);
        let text = &self.rest[..end.unwrap_or(self.rest.len())];
        self.odd |= end.is_none() || text.len() >= octets_max;
        self.rest = self.rest.get(text.len() + 1..).unwrap_or_default();
        text
    }

    /// `octets` octets, or what is left of them.
    pub(crate) fn octets(&mut self, octets: usize) -> &'a [u8] {
        let taken = octets.min(self.rest.len());
        self.odd |= taken < octets;
        let (text, rest) = self.rest.split_at(taken);
        self.rest = rest;
        text
    }

    /// Everything that was not read: the TLVs.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether a field was missing, cut or longer than the specification allows.
    pub(crate) fn odd(&self) -> bool {
        self.odd
    }
}
