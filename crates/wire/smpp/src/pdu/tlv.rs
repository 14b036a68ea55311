//! Optional parameters (tag, length, value) at the end of a body.
//!
//! Must stay true: a TLV whose length passes the body ends the walk; those before it stay readable.

/// Tags Loa reads or writes.
pub mod tag {
    pub const ADDITIONAL_STATUS_INFO_TEXT: u16 = 0x001D;
    pub const RECEIPTED_MESSAGE_ID: u16 = 0x001E;
    pub const USER_MESSAGE_REFERENCE: u16 = 0x0204;
    pub const SAR_MSG_REF_NUM: u16 = 0x020C;
    pub const SAR_TOTAL_SEGMENTS: u16 = 0x020E;
    pub const SAR_SEGMENT_SEQNUM: u16 = 0x020F;
    pub const SC_INTERFACE_VERSION: u16 = 0x0210;
    pub const NETWORK_ERROR_CODE: u16 = 0x0423;
    pub const MESSAGE_PAYLOAD: u16 = 0x0424;
    pub const MESSAGE_STATE: u16 = 0x0427;
}

/// One optional parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    pub tag: u16,
    pub value: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The value as a number, however many octets the peer spent on it; `None` when empty or above 4 octets.
    pub fn number(self) -> Option<u32> {
        let in_range = (1..=4).contains(&self.value.len());
        in_range.then(|| self.value.iter().fold(0, |number, &octet| number << 8 | u32::from(octet)))
    }

    /// The value as text: without trailing NULs and spaces, which some peers send and others leave out.
    pub fn text(self) -> &'a [u8] {
        let end = self.value.iter().position(|&octet| octet == 0).unwrap_or(self.value.len());
        self.value[..end].trim_ascii()
    }
}

/// The TLV region of a body, walked when asked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(pub &'a [u8]);

impl<'a> Tlvs<'a> {
    /// The first parameter with this tag.
    pub fn get(self, tag: u16) -> Option<Tlv<'a>> {
        self.find(|tlv| tlv.tag == tag)
    }

    fn find(mut self, wanted: impl Fn(&Tlv<'a>) -> bool) -> Option<Tlv<'a>> {
        Iterator::find(&mut self, wanted)
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (&[tag_high, tag_low, length_high, length_low], rest) = self.0.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            self.0 = &[];
            return None;
        };
        self.0 = rest;
        Some(Tlv { tag: u16::from_be_bytes([tag_high, tag_low]), value })
    }
}

/// Parameters may carry numbers and texts of people, so only their size is shown.
impl std::fmt::Debug for Tlvs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tlvs({} octets)", self.0.len())
    }
}

/// Appends a parameter; a value above 65,535 octets is left out, since no length could say it.
pub fn put_tlv(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len()) else { return };
    out.extend_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_until_the_first_cut_one() {
        let mut octets = Vec::new();
        put_tlv(&mut octets, tag::MESSAGE_STATE, &[2]);
        put_tlv(&mut octets, 0x1400, b"vendor");
        put_tlv(&mut octets, tag::RECEIPTED_MESSAGE_ID, b"AB\0");
        assert_eq!(Tlvs(&octets).count(), 3);
        assert_eq!(Tlvs(&octets).get(tag::RECEIPTED_MESSAGE_ID).unwrap().text(), b"AB");
        assert_eq!(Tlvs(&octets[..octets.len() - 1]).count(), 2, "the last one is cut");
        assert_eq!(Tlvs(&octets[..octets.len() - 6]).count(), 2, "a stray octet");
        assert_eq!(Tlvs(b"\x04").count(), 0);
    }

    #[test]
    fn numbers_of_any_width() {
        let number = |value| Tlv { tag: 0, value }.number();
        assert_eq!(number(&[2]), Some(2));
        assert_eq!(number(&[0, 0, 0, 2]), Some(2), "message_state of four octets");
        assert_eq!(number(&[]), None);
        assert_eq!(number(&[0; 5]), None);
    }
}
