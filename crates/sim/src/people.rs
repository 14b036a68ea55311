//! Synthetic people of Bến Tre as a subscriber file: names, communes and ages by their real shares, nobody real.
//!
//! Numbers look valid and come from a keyed permutation, so no two people share one; mailboxes lie under a domain that RFC
//! 2606 keeps for tests. A dataset of them is marked synthetic, and no real account takes it.
//!
//! Must stay true: the same seed, count and bad rows give the same bytes; every good row is taken by the importer and every
//! bad one is rejected.

mod bad;
mod names;

use std::io::{self, Write};

use loa_domain::admin::{self, Commune};

use self::names::{Person, person};

/// The columns of the file.
pub const HEADER: &str = "account_id,msisdn,email,service,payment,customer_kind,commune_code,age_band,language,smartphone,\
                          channel_pref,consent_ads,consent_at,consent_method,dnc,tags,slots.danh_xung,slots.ten,slots.xa";

/// Prefixes of two digits, by the carrier they were first given to, with its share of subscribers in percent.
const CARRIERS: [(u64, &[u64]); 4] = [
    (55, &[96, 97, 98, 86, 32, 33, 34, 35, 36, 37, 38, 39]),
    (22, &[91, 94, 88, 81, 82, 83, 84, 85]),
    (19, &[90, 93, 89, 70, 76, 78, 79]),
    (4, &[92, 56, 58, 52]),
];
/// Numbers behind one prefix.
const NUMBERS_PER_PREFIX: u64 = 10_000_000;
/// Above this share of a carrier's numbers the permutation still works, but people are not plausible any more.
const COUNT_MAX: u64 = 20_000_000;

/// A file of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct People {
    /// Decides everything.
    pub seed: u64,
    /// Good rows: people with a mobile number and a mailbox.
    pub count: u64,
    /// Rows that the importer must reject, of every kind, spread over the file.
    pub bad_rows: u64,
}

impl People {
    /// Writes the file; at most 20,000,000 people.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if self.count > COUNT_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("at most {COUNT_MAX} people; ask for fewer"),
            ));
        }
        let communes = communes();
        writeln!(out, "{HEADER}")?;
        let mut bad = 0;
        for index in 0..self.count {
            // Evenly spread: after the n-th person, the same share of the bad rows is written.
            let due = (index * self.bad_rows).checked_div(self.count).unwrap_or(0);
            while bad < due {
                bad::write(bad, self, out)?;
                bad += 1;
            }
            self.row(index, &communes, out)?;
        }
        (bad..self.bad_rows).try_for_each(|number| bad::write(number, self, out))
    }

    /// The number of a person, as E.164 digits without plus.
    pub fn msisdn(&self, index: u64) -> u64 {
        let mut draw = mix(self.seed, index, "carrier") % 100;
        let mut carrier = 0;
        while draw >= CARRIERS[carrier].0 {
            draw -= CARRIERS[carrier].0;
            carrier += 1;
        }
        let prefixes = CARRIERS[carrier].1;
        let numbers = NUMBERS_PER_PREFIX * prefixes.len() as u64;
        let place = permuted(index, numbers, self.seed ^ carrier as u64);
        let prefix = prefixes[usize::try_from(place / NUMBERS_PER_PREFIX).unwrap_or(0)];
        84_000_000_000 + prefix * NUMBERS_PER_PREFIX + place % NUMBERS_PER_PREFIX
    }

    /// The mailbox of a person.
    pub fn mailbox(&self, index: u64) -> String {
        format!("{}{index}@example.test", person(self.seed, index).mailbox_name())
    }

    fn row(&self, index: u64, communes: &[&Commune], out: &mut impl Write) -> io::Result<()> {
        let draw = |what: &str| mix(self.seed, index, what);
        let commune = communes[pick(draw("commune"), communes.len())];
        let Person { title, given, age_band, language, .. } = person(self.seed, index);
        let consent = match draw("consent") % 200 {
            0 => "withdrawn,2024-05-02,form",
            1..=60 => "granted,2024-03-15T09:00:00+07:00,dkqc",
            _ => "none,,",
        };
        let tags = match draw("tags") % 10 {
            0 | 1 => "dua",
            2 => "dua|tom",
            3 => "can_bo",
            _ => "",
        };
        writeln!(
            out,
            "{account},{number},{mailbox},{service},{payment},{kind},{code},{age_band},{language},{smartphone},sms|email,{consent},none,{tags},\
             {title},{given},{commune}",
            account = account(index),
            number = self.written_number(index),
            mailbox = self.mailbox(index),
            service = ["mobile", "mobile", "mobile", "ftth", "tv"][pick(draw("service"), 5)],
            payment = ["prepaid", "prepaid", "postpaid"][pick(draw("payment"), 3)],
            kind = ["person", "person", "person", "person", "household_business", "cooperative"][pick(draw("kind"), 6)],
            code = commune.code,
            smartphone = ["yes", "yes", "yes", "no"][pick(draw("smartphone"), 4)],
            commune = commune.name,
        )
    }

    /// The number in one of the ways in which files write it.
    fn written_number(&self, index: u64) -> String {
        let national = self.msisdn(index) - 84_000_000_000;
        match mix(self.seed, index, "writing") % 10 {
            0 => format!("+84{national}"),
            1 => format!("84{national}"),
            2 => national.to_string(), // a spreadsheet ate the zero
            3 => format!("0{} {:03} {:03}", national / 1_000_000, national / 1_000 % 1_000, national % 1_000),
            _ => format!("0{national}"),
        }
    }
}

/// Today's communes of Bến Tre.
fn communes() -> Vec<&'static Commune> {
    admin::communes().iter().filter(|commune| commune.until.is_none()).collect()
}

fn account(index: u64) -> String {
    format!("BT{index:08}")
}

/// A random number of its own for each person and use.
fn mix(seed: u64, index: u64, what: &str) -> u64 {
    let start = seed.rotate_left(17) ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    what.bytes().fold(splitmix64(start), |mixed, byte| splitmix64(mixed ^ u64::from(byte)))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn splitmix64(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn pick(draw: u64, length: usize) -> usize {
    usize::try_from(draw % length as u64).unwrap_or(0)
}

/// A permutation of the numbers below `size`: four Feistel rounds over 28 bits, walked until the result is below.
fn permuted(index: u64, size: u64, key: u64) -> u64 {
    const HALF_BITS: u32 = 14;
    const HALF: u64 = (1 << HALF_BITS) - 1;
    let mut value = index;
    loop {
        let (mut left, mut right) = (value >> HALF_BITS & HALF, value & HALF);
        for round in 0..4 {
            (left, right) = (right, left ^ splitmix64(key ^ right ^ round << 40) & HALF);
        }
        value = left << HALF_BITS | right;
        if value < size {
            return value;
        }
    }
}

#[cfg(test)]
mod tests;
