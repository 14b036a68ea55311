//! Rows that an importer must reject, one kind after the other.

use std::io::{self, Write};

use super::{HEADER, People};

/// Writes the `number`-th bad row.
pub(super) fn write(number: u64, people: &People, out: &mut impl Write) -> io::Result<()> {
    let kinds: [fn(&mut Row); 24] = [
        |row| row.cells.truncate(3),
        |row| row.cells.push("too much".into()),
        |row| row.set("slots.ten", "\"Lan"),
        |row| row.set("slots.ten", "La\0n"),
        |row| row.set("slots.ten", b"L\xE1n".as_slice()),
        |row| row.set("account_id", ""),
        |row| row.set("account_id", "123456789012345678901234567890123"),
        |row| row.set("msisdn", "091234567"),
        |row| row.set("msisdn", "09123456789"),
        |row| row.set("msisdn", "+66812345678"),
        |row| row.set("msisdn", "113"),
        |row| row.set("msisdn", "02753822222"),
        |row| row.set("msisdn", "0751234567"),
        |row| row.set("msisdn", "9.1E8"),
        |row| row.set("msisdn", "8491234567O"),
        |row| row.set("email", "lan.example.test"),
        |row| row.set("email", "lần@example.test"),
        |row| row.set("commune_code", "99999"),
        |row| row.set("age_band", "18-25"),
        |row| row.set("consent_at", "tomorrow"),
        |row| row.set("slots.ten", "=HYPERLINK(1)"),
        |row| row.set("slots.ten", "Công Tằng Tôn Nữ Hoàng Anh Thùy Dương Ngọc Bích Kim Phượng My Lan Hương"),
        |row| row.set("slots.ten", "\"hai\ndòng\""),
        |row| {
            row.set("msisdn", "");
            row.set("email", "");
        },
    ];
    let mut row = Row::good(number, people);
    let kind = usize::try_from(number % kinds.len() as u64).unwrap_or(0);
    kinds[kind](&mut row);
    out.write_all(&row.cells.join(&b','))?;
    out.write_all(b"\n")
}

struct Row {
    cells: Vec<Vec<u8>>,
}

impl Row {
    /// A row without fault, of somebody behind the last person.
    fn good(number: u64, people: &People) -> Self {
        let index = people.count + number;
        let mut row = Self { cells: HEADER.split(',').map(|_| Vec::new()).collect() };
        row.set("account_id", format!("BAD{number:08}"));
        row.set("msisdn", people.msisdn(index).to_string());
        row.set("email", people.mailbox(index));
        row
    }

    fn set(&mut self, column: &str, value: impl AsRef<[u8]>) {
        if let Some(at) = HEADER.split(',').position(|name| name == column) {
            self.cells[at] = value.as_ref().to_vec();
        }
    }
}
