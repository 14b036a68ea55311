//! Looks for people in what must not hold any: logs, metrics, spans.
//!
//! Must stay true: the search finds a number in every way in which numbers are written (tested below), so an empty result
//! means something.

use std::collections::HashSet;

use loa_sim::people::People;

/// Stands in every text of every campaign of the tests.
pub const CANARY: &str = "Chim-hoang-yen-5207";

/// Digits of a national number without its zero.
const NATIONAL_DIGITS: usize = 9;

/// What must not be found.
#[derive(Debug, Default, Clone)]
pub struct Secrets {
    numbers: HashSet<u64>,
    mailboxes: HashSet<String>,
}

impl Secrets {
    /// Every person, those of the bad rows too.
    pub fn of(people: &People) -> Self {
        let everybody = 0..people.count + people.bad_rows;
        Self {
            numbers: everybody.clone().map(|index| people.msisdn(index) - 84_000_000_000).collect(),
            mailboxes: everybody.map(|index| people.mailbox(index)).collect(),
        }
    }

    /// One more number (E.164 digits).
    pub fn add_number(&mut self, msisdn: u64) {
        self.numbers.insert(msisdn - 84_000_000_000);
    }

    /// Lines (from 1) that hold a number, a mailbox or the canary.
    pub fn found_in(&self, text: &str) -> Vec<usize> {
        (1..).zip(text.lines()).filter(|(_, line)| self.is_in(line)).map(|(at, _)| at).collect()
    }

    fn is_in(&self, line: &str) -> bool {
        line.contains(CANARY) || self.has_mailbox(line) || self.has_number(line)
    }

    fn has_mailbox(&self, line: &str) -> bool {
        let of_address = |c: char| c.is_ascii_alphanumeric() || "@.-_+".contains(c);
        let words = line.split(|c: char| !of_address(c)).filter(|word| word.contains('@'));
        words.into_iter().any(|word| self.mailboxes.contains(&word.trim_matches('.').to_lowercase()))
    }

    /// Runs of digits, as they stand and with the signs left out that people put between them.
    fn has_number(&self, line: &str) -> bool {
        let is_run = |run: &str| {
            let start = run.len().checked_sub(NATIONAL_DIGITS);
            let national = start.and_then(|start| run.get(start..)).and_then(|digits| digits.parse().ok());
            let lead = start.and_then(|start| run.get(..start));
            matches!(lead, Some("" | "0" | "84" | "0084"))
                && national.is_some_and(|number| self.numbers.contains(&number))
        };
        let digits = |c: char| !c.is_ascii_digit();
        line.split(digits).any(is_run) || {
            let together: String = line.chars().filter(|c| !" .-".contains(*c)).collect();
            together.split(digits).any(is_run)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that name a person, in every writing that can be told from other numbers without knowing the person.
    fn canaries(people: &People, person: u64) -> Vec<String> {
        let (number, mailbox) = (people.msisdn(person), people.mailbox(person));
        let national = number - 84_000_000_000;
        vec![
            format!("submitted to={number}"),
            format!("to=+{number} x"),
            format!("to 0{national}"),
            format!("0{} {:03} {:03}", national / 1_000_000, national / 1_000 % 1_000, national % 1_000),
            format!("RCPT TO:<{mailbox}>"),
            format!("mail to {}", mailbox.to_uppercase()),
            format!("text=\"xin chào {CANARY}\""),
        ]
    }

    #[test]
    fn a_canary_line_is_caught_in_every_writing() {
        let people = People { seed: 9, count: 10, bad_rows: 2 };
        let secrets = Secrets::of(&people);
        let bare = format!("to {}.", people.msisdn(3) - 84_000_000_000);
        for line in canaries(&people, 3).into_iter().chain(canaries(&people, 11)).chain([bare]) {
            assert_eq!(secrets.found_in(&format!("fine\n{line}\n")), [2], "{line}");
        }
        for line in ["loa listens on 127.0.0.1:7400", "chunk=3 count=912345678901234567", "a@b.example.test", ""] {
            assert_eq!(secrets.found_in(line), [0_usize; 0], "{line}");
        }
    }

    /// What CI runs over the output of all tests: it knows no person, and finds each.
    #[test]
    fn the_output_of_the_tests_is_searched() {
        let searched = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/nobody");
            let ended = std::process::Command::new(script).arg(file.path()).output().unwrap();
            (ended.status.code(), String::from_utf8(ended.stdout).unwrap().lines().count())
        };
        let clean = "running 7 tests\nstorm: LOA_SEED=912345678\ntest 0912345678abcdef ... ok\nlongest wait 84 ms\n\
                     0.0912345678 s, 84912345678ns\nid 01999999-0912-7000-8000-0912345678ab\ntin@bentre.example.test\n";
        assert_eq!(searched(clean), (Some(0), 0));
        assert_eq!(searched("").0, Some(2), "nothing to search is no good news");
        let people = People { seed: 10, count: 200, bad_rows: 0 };
        let named: Vec<String> = (0..200).flat_map(|person| canaries(&people, person)).collect();
        assert_eq!(searched(&format!("{clean}{}\n", named.join("\n"))), (Some(1), named.len()));
    }
}
