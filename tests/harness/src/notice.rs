//! A notice for single texts on the urgent lane, and sends under it.

use std::collections::HashMap;

use loa_contract::pb::dispatch::v1::SendRequest;
use loa_contract::pb::event::v1::{Channel, Class, Lane};
use loa_contract::pb::registry::v1 as registry;

use crate::secrets::CANARY;
use crate::users::Users;
use crate::wait::patiently;
use crate::{Fault, fault, plan};

/// Its title.
pub const TITLE: &str = "Báo hồ sơ xong";
/// Sends a day.
const CEILING: u32 = 10_000;
const TEMPLATE: &str = "bao-xong";

/// Written and sent to approval; its id.
pub async fn written(users: &Users) -> Result<String, Fault> {
    plan::put_unit(users).await?;
    let content = registry::Content {
        channel: Channel::Sms.into(),
        text: format!("Ho so cua {{ten}} da xong. {CANARY}"),
        diacritics: "strip".to_owned(),
        ..Default::default()
    };
    let template = registry::PutTemplateRequest { name: TEMPLATE.to_owned(), content: Some(content) };
    patiently(async || users.author.registry().put_template(template.clone()).await).await?;
    let notice = registry::Notice {
        title: TITLE.to_owned(),
        template: TEMPLATE.to_owned(),
        class: Class::Personal.into(),
        lane: Lane::Urgent.into(),
        sender: "UBND BENTRE".to_owned(),
        unit_code: plan::UNIT.to_owned(),
        daily_ceiling: CEILING,
        ..Default::default()
    };
    let create = registry::CreateNoticeRequest { notice: Some(notice), idempotency_key: TEMPLATE.to_owned() };
    let created = patiently(async || users.author.registry().create_notice(create.clone()).await).await?;
    Ok(created.into_inner().notice.ok_or_else(|| fault("no notice in the answer"))?.id)
}

/// Approves it by somebody who did not write it.
pub async fn approved(users: &Users, id: &str) -> Result<(), Fault> {
    let request = registry::ApproveNoticeRequest { id: id.to_owned() };
    patiently(async || users.approver.registry().approve_notice(request.clone()).await).await.map(drop)
}

/// A send under it; the number as E.164 digits without plus.
pub fn send(notice: &str, msisdn: u64, key: String) -> SendRequest {
    SendRequest {
        notice_id: notice.to_owned(),
        to: format!("+{msisdn}"),
        slots: HashMap::from([("ten".to_owned(), "Lan".to_owned())]),
        idempotency_key: key,
        expires_at: None,
    }
}
