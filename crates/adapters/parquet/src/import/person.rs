//! One person between the CSV row and the bucket's file, and its bytes in the spill.
//!
//! Must stay true: what is encoded decodes to the same; 0 and the empty text stand for "missing".

/// A person as read; kept by a reader and filled again for every row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) msisdn: u64,
    pub(super) fixed_number: u64,
    pub(super) tags: u64,
    /// Microseconds since 1970.
    pub(super) consent_at: Option<i64>,
    /// Days since 1970.
    pub(super) dnc_as_of: Option<i32>,
    /// Index into the dictionary, from 1.
    pub(super) commune: u16,
    pub(super) codes: Codes,
    pub(super) account_id: String,
    pub(super) email: String,
    pub(super) consent_method: String,
    pub(super) consent_text_id: String,
    pub(super) evidence: String,
    /// Scopes, four bytes each.
    pub(super) suppressed: Vec<u8>,
    pub(super) slots: Vec<String>,
}

/// Codes of closed sets; 0 = missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Codes {
    pub(super) service: u8,
    pub(super) payment: u8,
    pub(super) customer_kind: u8,
    pub(super) age_band: u8,
    pub(super) language: u8,
    /// 1 = no, 2 = yes.
    pub(super) smartphone: u8,
    pub(super) channel_pref: u8,
    pub(super) consent_ads: u8,
    pub(super) dnc: u8,
}

impl Person {
    /// Empties it for the next row.
    pub(super) fn clear(&mut self, slots: usize) {
        let Self { account_id, email, consent_method, consent_text_id, evidence, suppressed, .. } = self;
        [account_id, email, consent_method, consent_text_id, evidence].into_iter().for_each(String::clear);
        suppressed.clear();
        self.slots.resize_with(slots, String::new);
        self.slots.iter_mut().for_each(String::clear);
        (self.msisdn, self.fixed_number, self.tags, self.commune) = (0, 0, 0, 0);
        (self.consent_at, self.dnc_as_of, self.codes) = (None, None, Codes::default());
    }

    /// Whether there is any address.
    pub(super) fn has_address(&self) -> bool {
        self.msisdn != 0 || self.fixed_number != 0 || !self.email.is_empty()
    }

    /// Appends it with its key and line.
    pub(super) fn encode(&self, key: u64, line: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        for number in [key, line, self.msisdn, self.fixed_number, self.tags] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.consent_at.unwrap_or(i64::MIN).to_le_bytes());
        out.extend_from_slice(&self.dnc_as_of.unwrap_or(i32::MIN).to_le_bytes());
        out.extend_from_slice(&self.commune.to_le_bytes());
        let codes = self.codes;
        out.extend_from_slice(&[
            codes.service,
            codes.payment,
            codes.customer_kind,
            codes.age_band,
            codes.language,
            codes.smartphone,
            codes.channel_pref,
            codes.consent_ads,
            codes.dnc,
        ]);
        let texts = [&self.account_id, &self.email, &self.consent_method, &self.consent_text_id, &self.evidence];
        texts.into_iter().for_each(|text| put(text.as_bytes(), out));
        put(&self.suppressed, out);
        self.slots.iter().for_each(|text| put(text.as_bytes(), out));
        let length = u32::try_from(out.len() - start - 4).expect("a row is far below 4 GiB");
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("cells are checked to be far below 64 KiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A person in the spill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spilled<'a> {
    pub(super) key: u64,
    pub(super) line: u64,
    rest: &'a [u8],
}

impl<'a> Spilled<'a> {
    /// Every person of a bucket's bytes.
    pub(super) fn all(mut bytes: &'a [u8]) -> Vec<Self> {
        let mut found = Vec::with_capacity(bytes.len() / 100);
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let (row, rest) = rest.split_at(length.min(rest.len()));
            bytes = rest;
            let mut row = Reader(row);
            found.push(Self { key: row.u64(), line: row.u64(), rest: row.0 });
        }
        found
    }

    /// The carrier's id.
    pub(super) fn account_id(&self) -> &'a [u8] {
        let mut reader = Reader(self.rest.get(NUMBERS..).unwrap_or_default());
        reader.bytes()
    }

    /// All fields into a person.
    pub(super) fn decode(&self, slots: usize, person: &mut Person) {
        person.clear(slots);
        let mut reader = Reader(self.rest);
        person.msisdn = reader.u64();
        person.fixed_number = reader.u64();
        person.tags = reader.u64();
        person.consent_at = Some(reader.u64().cast_signed()).filter(|at| *at != i64::MIN);
        person.dnc_as_of = Some(i32::from_le_bytes(reader.array())).filter(|day| *day != i32::MIN);
        person.commune = u16::from_le_bytes(reader.array());
        let [service, payment, customer_kind, age_band, language, smartphone, channel_pref, consent_ads, dnc] =
            reader.array();
        person.codes =
            Codes { service, payment, customer_kind, age_band, language, smartphone, channel_pref, consent_ads, dnc };
        for text in [
            &mut person.account_id,
            &mut person.email,
            &mut person.consent_method,
            &mut person.consent_text_id,
            &mut person.evidence,
        ] {
            text.push_str(reader.text());
        }
        person.suppressed.extend_from_slice(reader.bytes());
        person.slots.iter_mut().for_each(|slot| slot.push_str(reader.text()));
    }
}

/// Bytes of the numbers before the first text, behind key and line.
const NUMBERS: usize = 3 * 8 + 8 + 4 + 2 + 9;

/// Reads what [`Person::encode`] wrote; short bytes read as zeros, since the spill never leaves this process.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => [0; N],
        }
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_le_bytes(self.array()));
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn people_come_back(key: u64, line: u64, msisdn: u64, at: Option<u32>, commune: u16, age_band: u8, account_id in "\\PC{0,32}", email in "\\PC{0,60}", suppressed: [u8; 8], slots in proptest::collection::vec("\\PC{0,64}", 0..4)) {
            let person = Person {
                msisdn,
                consent_at: at.map(i64::from),
                commune,
                codes: Codes { age_band, ..Codes::default() },
                account_id,
                email,
                suppressed: suppressed.to_vec(),
                slots,
                ..Person::default()
            };
            let mut bytes = Vec::new();
            person.encode(key, line, &mut bytes);
            Person { slots: vec![String::new(); person.slots.len()], ..Person::default() }.encode(1, 2, &mut bytes);
            let found = Spilled::all(&bytes);
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!((found[0].key, found[0].line), (key, line));
            prop_assert_eq!(found[0].account_id(), person.account_id.as_bytes());
            let mut decoded = Person { fixed_number: 9, ..Person::default() };
            found[0].decode(person.slots.len(), &mut decoded);
            prop_assert_eq!(decoded, person);
        }
    }
}
