//! Answers for people, in Vietnamese or English.
//!
//! Must stay true: Vietnamese numbers are grouped by points (`10.000`), English ones by commas.

use loa_contract::pb::report::v1::{CampaignLedger, Ledger};

use super::args::Global;

/// The language of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// tiếng Việt
    Vi,
    /// English
    En,
}

impl Lang {
    /// Of the command line.
    pub fn of(global: &Global) -> Self {
        if global.lang == "en" { Self::En } else { Self::Vi }
    }

    /// The text of this language.
    pub fn pick<'a>(self, vi: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Vi => vi,
            Self::En => en,
        }
    }

    /// A whole number, grouped.
    pub fn number(self, number: u64) -> String {
        let digits = number.to_string();
        let mut out = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                out.push(if self == Self::Vi { '.' } else { ',' });
            }
            out.push(digit);
        }
        out
    }
}

/// Writes lines to standard output: the result of a command.
pub fn say(text: impl AsRef<str>) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // A closed pipe (`| head`) is the reader's wish, not a failure.
    let _closed = writeln!(out, "{}", text.as_ref());
}

/// Writes a line to standard error: progress and hints.
pub fn note(text: impl AsRef<str>) {
    use std::io::Write as _;
    let _closed = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// The states of a ledger with their names, in the order of the balance.
pub fn states(ledger: &Ledger) -> [(&'static str, &'static str, u64); 10] {
    [
        ("đã đến máy", "delivered", ledger.delivered),
        ("không đến", "undelivered", ledger.undelivered),
        ("bị từ chối", "rejected", ledger.rejected),
        ("hết hạn", "expired", ledger.expired),
        ("bỏ qua", "skipped", ledger.skipped),
        ("đã hủy", "cancelled", ledger.cancelled),
        ("không rõ", "unknown", ledger.unknown),
        ("nghi ngờ", "in doubt", ledger.in_doubt),
        ("đã gửi", "submitted", ledger.submitted),
        ("còn chờ", "open", ledger.open),
    ]
}

/// A ledger as a table.
pub fn ledger(lang: Lang, ledger: &CampaignLedger) -> String {
    let mut out = format!("{} — {} ({})\n", ledger.title, ledger.campaign_id, ledger.state);
    for one in &ledger.variants {
        let channel = super::json::channel(one.channel);
        out.push_str(&format!("  {channel}: {} {}\n", lang.number(one.frozen), lang.pick("người nhận", "recipients")));
        for (vi, en, count) in states(one) {
            if count > 0 || en == "delivered" {
                out.push_str(&format!("    {:<12} {:>12}\n", lang.pick(vi, en), lang.number(count)));
            }
        }
        let verdict = match (one.adds_up, one.repeated) {
            (true, 0) => lang.pick("khớp sổ", "adds up").to_owned(),
            (true, repeated) => {
                format!("{} {repeated}", lang.pick("khớp sổ, nhưng LẶP LẠI:", "adds up, but REPEATED:"))
            }
            (false, _) => lang.pick("SỔ KHÔNG KHỚP", "DOES NOT ADD UP").to_owned(),
        };
        out.push_str(&format!("    = {verdict}\n"));
        for (reason, count) in sorted(&one.reasons) {
            out.push_str(&format!("      {reason}: {}\n", lang.number(count)));
        }
    }
    if ledger.records_missed > 0 {
        let missed = lang.number(ledger.records_missed);
        let note = lang.pick(
            "bản ghi bị lỡ trước khi đọc; số liệu có thể thiếu, xem LOA-021",
            "records were dropped before they were read; figures may lack words, see LOA-021",
        );
        out.push_str(&format!("  ! {missed} {note}\n"));
    }
    out
}

fn sorted(reasons: &std::collections::HashMap<String, u64>) -> Vec<(&str, u64)> {
    let mut all: Vec<_> = reasons.iter().map(|(reason, &count)| (reason.as_str(), count)).collect();
    all.sort_unstable();
    all
}

/// Whether every variant adds up, nothing is repeated and all of the freeze is known.
pub fn adds_up(ledger: &CampaignLedger) -> bool {
    ledger.complete && !ledger.variants.is_empty() && ledger.variants.iter().all(|one| one.adds_up && one.repeated == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_as_people_write_them() {
        assert_eq!(Lang::Vi.number(1_234_567), "1.234.567");
        assert_eq!(Lang::En.number(10_000), "10,000");
        assert_eq!(Lang::En.number(999), "999");
    }
}
