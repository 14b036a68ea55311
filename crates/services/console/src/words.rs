//! Words of the two languages for the closed sets of the domain.
//!
//! Must stay true: a new state or reason does not compile until it has its words here; a name that this version does not
//! know is shown as it came.

use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Channel, Class, Lane};
use loa_domain::state::{Reason, RecipientState};

use crate::lang::Lang;

/// A campaign's state and the colour it is shown in.
pub(crate) fn campaign(lang: Lang, name: &str) -> (String, &'static str) {
    let Ok(state) = name.parse::<CampaignState>() else { return (name.to_owned(), "plain") };
    let (vi, en, colour) = match state {
        CampaignState::Draft => ("bản nháp", "draft", "plain"),
        CampaignState::Freezing => ("đang chốt danh sách", "freezing recipients", "wait"),
        CampaignState::Submitted => ("chờ duyệt", "waiting for approval", "wait"),
        CampaignState::Approved => ("đã duyệt", "approved", "good"),
        CampaignState::Scheduled => ("đã hẹn giờ", "scheduled", "wait"),
        CampaignState::Running => ("đang gửi", "running", "live"),
        CampaignState::Paused => ("tạm dừng", "paused", "warn"),
        CampaignState::Halted => ("bị chặn", "halted", "bad"),
        CampaignState::Done => ("đã xong", "done", "good"),
        CampaignState::Cancelled => ("đã hủy", "cancelled", "plain"),
    };
    (lang.pick(vi, en).to_owned(), colour)
}

/// A recipient's state.
pub(crate) fn recipient(lang: Lang, state: RecipientState) -> &'static str {
    let (vi, en) = match state {
        RecipientState::Open => ("còn chờ", "open"),
        RecipientState::InDoubt => ("nghi ngờ", "in doubt"),
        RecipientState::Submitted => ("đã gửi", "submitted"),
        RecipientState::Delivered => ("đã đến", "delivered"),
        RecipientState::Undelivered => ("không đến", "undelivered"),
        RecipientState::Expired => ("hết hạn", "expired"),
        RecipientState::Rejected => ("bị từ chối", "rejected"),
        RecipientState::Unknown => ("không rõ", "unknown"),
        RecipientState::Skipped => ("bỏ qua", "skipped"),
        RecipientState::Cancelled => ("đã hủy", "cancelled"),
    };
    lang.pick(vi, en)
}

/// Why a recipient was left out or not reached.
pub(crate) fn reason(lang: Lang, name: &str) -> String {
    let Ok(reason) = name.parse::<Reason>() else { return name.to_owned() };
    let (vi, en) = match reason {
        Reason::None => ("không nêu", "not stated"),
        Reason::Suppressed => ("trong danh sách chặn", "on the suppression list"),
        Reason::Dnc => ("trong danh sách không quảng cáo", "on the do-not-call register"),
        Reason::NoConsent => ("chưa đồng ý nhận", "no consent"),
        Reason::ConsentWithdrawn => ("đã rút đồng ý", "consent withdrawn"),
        Reason::CapDay => ("đủ số tin trong ngày", "daily cap used up"),
        Reason::CapWeek => ("đủ số tin trong tuần", "weekly cap used up"),
        Reason::QuietHours => ("ngoài giờ cho phép", "outside the hours of its class"),
        Reason::SenderInvalid => ("tên gửi không hợp lệ", "sender not valid"),
        Reason::Underage => ("chưa đủ tuổi", "below the age for it"),
        Reason::InvalidAddress => ("không có địa chỉ hợp lệ", "no valid address"),
        Reason::Duplicate => ("trùng địa chỉ", "address taken already"),
        Reason::OutOfArea => ("ngoài địa bàn", "outside the area"),
        Reason::NoRoute => ("không có nhà mạng nhận", "no carrier takes it"),
        Reason::Expired => ("quá hạn gửi", "its time was over"),
        Reason::Erased => ("đã xóa theo yêu cầu", "erased on request"),
        Reason::Refused => ("nhà mạng từ chối", "refused by the carrier"),
        Reason::TriesUsedUp => ("hết số lần thử", "tries used up"),
        Reason::Partial => ("chỉ nhận được một phần", "only some parts taken"),
        Reason::NoAnswer => ("gửi rồi, không có trả lời", "handed over, no answer came"),
        Reason::ClaimantGone => ("tiến trình gửi đã ngừng", "its sender's process stopped"),
        Reason::Receipt => ("theo báo phát", "as the receipt says"),
        Reason::NoReceipt => ("không có báo phát", "no receipt came"),
        Reason::Cancelled => ("chiến dịch bị hủy", "campaign cancelled"),
        Reason::TooLong => ("tin quá dài", "text too long"),
        Reason::Render => ("không ghép được nội dung", "content could not be filled in"),
        Reason::NoMailbox => ("hộp thư không tồn tại", "no such mailbox"),
        Reason::PolicyHalt => ("máy chủ từ chối chính sách", "refused by policy"),
    };
    lang.pick(vi, en).to_owned()
}

/// A channel; its short name is the same in both languages.
pub(crate) fn channel(code: i32) -> &'static str {
    match Channel::from_code(code) {
        Some(Channel::Sms) => "SMS",
        Some(Channel::Email) => "Email",
        None => "?",
    }
}

/// What the law calls the message.
pub(crate) fn class(lang: Lang, code: i32) -> &'static str {
    let (vi, en) = match Class::from_code(code) {
        Some(Class::Advertising) => ("quảng cáo", "advertising"),
        Some(Class::AdRegistration) => ("mời đăng ký quảng cáo", "invitation to register"),
        Some(Class::CustomerCare) => ("chăm sóc khách hàng", "customer care"),
        Some(Class::PublicInformation) => ("thông tin công", "public information"),
        Some(Class::Emergency) => ("khẩn cấp", "emergency"),
        Some(Class::Personal) => ("riêng từng người", "personal"),
        None => ("?", "?"),
    };
    lang.pick(vi, en)
}

/// What waits for what.
pub(crate) fn lane(lang: Lang, code: i32) -> &'static str {
    let (vi, en) = match Lane::from_code(code) {
        Some(Lane::Urgent) => ("khẩn", "urgent"),
        Some(Lane::Normal) => ("thường", "normal"),
        Some(Lane::Bulk) => ("hàng loạt", "bulk"),
        None => ("?", "?"),
    };
    lang.pick(vi, en)
}

/// A bind's state and its colour.
pub(crate) fn bind(lang: Lang, name: &str) -> (String, &'static str) {
    let (vi, en, colour) = match name {
        "held" => ("giữ chỗ", "held", "plain"),
        "opening" => ("đang mở", "opening", "wait"),
        "bound" => ("đã nối", "bound", "good"),
        "backing_off" => ("chờ nối lại", "backing off", "bad"),
        "standby" => ("dự phòng", "standby", "plain"),
        other => (other, other, "plain"),
    };
    (lang.pick(vi, en).to_owned(), colour)
}
