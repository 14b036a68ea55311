//! The tables: nine districts, the 48 units since 1 July 2025, and the city of Bến Tre as it was before.
//!
//! The 2025 units stand in the order of their former districts. Communes of the other districts before 2025 come with a
//! subscriber file's own unit list; none of them is invented here.

use jiff::civil::{Date, date};

use super::{Commune, CommuneCode, District, DistrictCode, Province, ProvinceCode};

/// Resolution 855/NQ-UBTVQH14: the units of 2020 to 2024.
const START: Date = date(2020, 2, 1);
/// Resolution 1237/NQ-UBTVQH15: nine communes ended.
const COMMUNES_JOINED: Date = date(2025, 1, 1);
/// Bến Tre became part of Vĩnh Long and districts ended (Decision 19/2025/QĐ-TTg for the codes).
const MERGER: Date = date(2025, 7, 1);

const fn since_2025(district: u16, code: u32, kind: &'static str, name: &'static str) -> Commune {
    let (code, district) = (CommuneCode(code), DistrictCode(district));
    Commune { code, kind, name, district, from: MERGER, until: None }
}

const fn city_until(until: Date, code: u32, kind: &'static str, name: &'static str) -> Commune {
    Commune { code: CommuneCode(code), kind, name, district: DistrictCode(829), from: START, until: Some(until) }
}

const fn district(code: u16, kind: &'static str, name: &'static str) -> District {
    District { code: DistrictCode(code), kind, name }
}

pub(super) const PROVINCES: [Province; 2] =
    [Province { code: ProvinceCode(83), name: "Bến Tre" }, Province { code: ProvinceCode(86), name: "Vĩnh Long" }];

pub(super) const DISTRICTS: [District; 9] = [
    district(829, "Thành phố", "Bến Tre"),
    district(831, "Huyện", "Châu Thành"),
    district(832, "Huyện", "Chợ Lách"),
    district(833, "Huyện", "Mỏ Cày Nam"),
    district(834, "Huyện", "Giồng Trôm"),
    district(835, "Huyện", "Bình Đại"),
    district(836, "Huyện", "Ba Tri"),
    district(837, "Huyện", "Thạnh Phú"),
    district(838, "Huyện", "Mỏ Cày Bắc"),
];

pub(super) const COMMUNES: [Commune; 62] = [
    since_2025(829, 28756, "Phường", "Phú Khương"),
    since_2025(829, 28777, "Phường", "An Hội"),
    since_2025(829, 28783, "Phường", "Sơn Đông"),
    since_2025(829, 28789, "Phường", "Bến Tre"),
    since_2025(831, 28807, "Xã", "Giao Long"),
    since_2025(831, 28810, "Xã", "Phú Túc"),
    since_2025(831, 28840, "Xã", "Tân Phú"),
    since_2025(831, 28858, "Phường", "Phú Tân"),
    since_2025(831, 28861, "Xã", "Tiên Thuỷ"),
    since_2025(832, 28870, "Xã", "Chợ Lách"),
    since_2025(832, 28879, "Xã", "Phú Phụng"),
    since_2025(832, 28894, "Xã", "Vĩnh Thành"),
    since_2025(833, 28903, "Xã", "Mỏ Cày"),
    since_2025(833, 28945, "Xã", "Đồng Khởi"),
    since_2025(833, 28957, "Xã", "An Định"),
    since_2025(833, 28969, "Xã", "Thành Thới"),
    since_2025(833, 28981, "Xã", "Hương Mỹ"),
    since_2025(834, 28984, "Xã", "Giồng Trôm"),
    since_2025(834, 28987, "Xã", "Lương Hoà"),
    since_2025(834, 28993, "Xã", "Lương Phú"),
    since_2025(834, 28996, "Xã", "Châu Hoà"),
    since_2025(834, 29020, "Xã", "Phước Long"),
    since_2025(834, 29029, "Xã", "Tân Hào"),
    since_2025(834, 29044, "Xã", "Hưng Nhượng"),
    since_2025(835, 29050, "Xã", "Bình Đại"),
    since_2025(835, 29062, "Xã", "Phú Thuận"),
    since_2025(835, 29077, "Xã", "Lộc Thuận"),
    since_2025(835, 29083, "Xã", "Châu Hưng"),
    since_2025(835, 29089, "Xã", "Thạnh Trị"),
    since_2025(835, 29104, "Xã", "Thạnh Phước"),
    since_2025(835, 29107, "Xã", "Thới Thuận"),
    since_2025(836, 29110, "Xã", "Ba Tri"),
    since_2025(836, 29122, "Xã", "Mỹ Chánh Hoà"),
    since_2025(836, 29125, "Xã", "Bảo Thạnh"),
    since_2025(836, 29137, "Xã", "Tân Xuân"),
    since_2025(836, 29143, "Xã", "An Ngãi Trung"),
    since_2025(836, 29158, "Xã", "An Hiệp"),
    since_2025(836, 29167, "Xã", "Tân Thuỷ"),
    since_2025(837, 29182, "Xã", "Thạnh Phú"),
    since_2025(837, 29191, "Xã", "Quới Điền"),
    since_2025(837, 29194, "Xã", "Đại Điền"),
    since_2025(837, 29221, "Xã", "Thạnh Hải"),
    since_2025(837, 29224, "Xã", "An Qui"),
    since_2025(837, 29227, "Xã", "Thạnh Phong"),
    since_2025(838, 28901, "Xã", "Hưng Khánh Trung"),
    since_2025(838, 28915, "Xã", "Phước Mỹ Trung"),
    since_2025(838, 28921, "Xã", "Tân Thành Bình"),
    since_2025(838, 28948, "Xã", "Nhuận Phú Tân"),
    city_until(MERGER, 28756, "Phường", "Phú Khương"),
    city_until(MERGER, 28757, "Phường", "Phú Tân"),
    city_until(MERGER, 28759, "Phường", "8"),
    city_until(MERGER, 28762, "Phường", "6"),
    city_until(COMMUNES_JOINED, 28765, "Phường", "4"),
    city_until(COMMUNES_JOINED, 28768, "Phường", "5"),
    city_until(MERGER, 28777, "Phường", "An Hội"),
    city_until(MERGER, 28780, "Phường", "7"),
    city_until(MERGER, 28783, "Xã", "Sơn Đông"),
    city_until(MERGER, 28786, "Xã", "Phú Hưng"),
    city_until(MERGER, 28789, "Xã", "Bình Phú"),
    city_until(MERGER, 28792, "Xã", "Mỹ Thạnh An"),
    city_until(MERGER, 28795, "Xã", "Nhơn Thạnh"),
    city_until(MERGER, 28798, "Xã", "Phú Nhuận"),
];
