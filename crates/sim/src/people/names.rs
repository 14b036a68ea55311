//! Names as they are in Bến Tre, and the hard cases among them.

use loa_domain::text::strip;

use super::{mix, pick};

/// Surnames with their shares in tenths of a percent; the rest is Khmer.
const SURNAMES: [(&str, u64); 14] = [
    ("Nguyễn", 380),
    ("Trần", 110),
    ("Lê", 95),
    ("Phạm", 70),
    ("Huỳnh", 50),
    ("Phan", 45),
    ("Võ", 40),
    ("Đặng", 20),
    ("Bùi", 20),
    ("Đỗ", 15),
    ("Hồ", 15),
    ("Ngô", 13),
    ("Dương", 10),
    ("Lý", 5),
];
const KHMER_SURNAMES: [&str; 4] = ["Thạch", "Sơn", "Kim", "Danh"];
const MALE_MIDDLE: [&str; 7] = ["Văn", "Hữu", "Minh", "Quốc", "Thanh", "Hoàng", "Trọng"];
const FEMALE_MIDDLE: [&str; 6] = ["Thị", "Ngọc", "Thị Kim", "Thanh", "Thùy", "Mỹ"];
const MALE_GIVEN: [&str; 17] = [
    "An", "Bảo", "Dũng", "Đạt", "Hải", "Hùng", "Khoa", "Lâm", "Long", "Nam", "Phúc", "Quân", "Sơn", "Tâm", "Tài",
    "Thắng", "Vinh",
];
const FEMALE_GIVEN: [&str; 21] = [
    "Anh",
    "Bích",
    "Chi",
    "Diễm",
    "Dung",
    "Hạnh",
    "Hoa",
    "Hương",
    "Lan",
    "Linh",
    "Loan",
    "Mai",
    "Ngân",
    "Nhung",
    "Phượng",
    "Thảo",
    "Trang",
    "Tuyết",
    "Vy",
    "Yến",
    "Thuỳ",
];
/// Names that break programs: one letter, an apostrophe, the same letter with its tone elsewhere, the longest a slot takes.
const HARD: [&str; 6] =
    ["Y", "Đ'rai", "Thùy", "Thuỳ", "Công Tằng Tôn Nữ Hoàng Anh Thùy Dương Ngọc Bích Kim Phượng My", "H’Hen"];

/// What of a person is drawn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) surname: &'static str,
    pub(super) middle: &'static str,
    pub(super) given: &'static str,
    /// How the person is addressed.
    pub(super) title: &'static str,
    pub(super) age_band: &'static str,
    pub(super) language: &'static str,
}

/// Draws a person.
pub(super) fn person(seed: u64, index: u64) -> Person {
    let draw = |what: &str| mix(seed, index, what);
    let is_male = draw("sex").is_multiple_of(2);
    let mut share = draw("surname") % 1_000;
    let surname = SURNAMES.iter().find(|(_, tenths)| {
        let is_it = share < *tenths;
        share = share.saturating_sub(*tenths);
        is_it
    });
    let is_khmer = surname.is_none() && draw("khmer").is_multiple_of(2);
    let khmer = KHMER_SURNAMES[pick(draw("khmer surname"), KHMER_SURNAMES.len())];
    let surname = surname.map_or(khmer, |(name, _)| name);
    let (middle, given) = if is_male {
        (MALE_MIDDLE[pick(draw("middle"), MALE_MIDDLE.len())], MALE_GIVEN[pick(draw("given"), MALE_GIVEN.len())])
    } else {
        (
            FEMALE_MIDDLE[pick(draw("middle"), FEMALE_MIDDLE.len())],
            FEMALE_GIVEN[pick(draw("given"), FEMALE_GIVEN.len())],
        )
    };
    let given = if draw("hard").is_multiple_of(97) { HARD[pick(draw("which hard"), HARD.len())] } else { given };
    let age_band =
        ["18-24", "25-34", "25-34", "35-44", "35-44", "45-59", "45-59", "60-69", "70+"][pick(draw("age"), 9)];
    let title = match (age_band, is_male) {
        ("60-69" | "70+", true) => "ông",
        ("60-69" | "70+", false) => "bà",
        (_, true) => "anh",
        (_, false) => "chị",
    };
    Person { surname, middle, given, title, age_band, language: if is_khmer { "km" } else { "vi" } }
}

impl Person {
    /// The given and the family name in plain letters, for a mailbox.
    pub(super) fn mailbox_name(&self) -> String {
        let plain = |name: &str| {
            let stripped = strip(name).map(|plain| plain.to_lowercase()).unwrap_or_default();
            stripped.chars().filter(char::is_ascii_lowercase).take(20).collect::<String>()
        };
        format!(
            "{}.{}{}.",
            plain(self.given),
            plain(self.surname),
            plain(self.middle).chars().take(1).collect::<String>()
        )
    }
}
