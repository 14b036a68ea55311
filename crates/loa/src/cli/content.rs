//! `loa template …`, `loa unit …`, `loa notice …`, `loa send`.

use std::path::Path;

use loa_contract::pb::dispatch::v1 as dispatch;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_domain::channel::{Class, Lane};
use serde_json::json;

use super::args::{Global, NoticeCommand, SendArgs, TemplateCommand, UnitCommand};
use super::client::{Client, pairs};
use super::json;
use super::text::{Lang, say};
use crate::exit::Failure;

/// From when imported units are valid.
pub const UNIT_FROM: &str = "2020-01-01T00:00:00+07:00";

/// `loa template …`
pub async fn template(global: &Global, command: TemplateCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let mut registry = client.registry();
    match command {
        TemplateCommand::Put { name, sms, diacritics, subject, text_file, html_file } => {
            let content = content(sms, diacritics, subject, text_file.as_deref(), html_file.as_deref())?;
            let request = registry::PutTemplateRequest { name, content: Some(content) };
            if let Some(template) = registry.put_template(request).await?.into_inner().template {
                show_template(global, &template);
            }
        }
        TemplateCommand::List => {
            let mut token = String::new();
            loop {
                let request = registry::ListTemplatesRequest { page_size: 0, page_token: token };
                let answer = registry.list_templates(request).await?.into_inner();
                answer.templates.iter().for_each(|template| show_template(global, template));
                token = answer.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
        }
        TemplateCommand::Preview { sms, diacritics, slots } => {
            let content = content(Some(sms), diacritics, None, None, None)?;
            let request = registry::PreviewContentRequest {
                content: Some(content),
                content_hash: Vec::new(),
                slots: pairs(&slots)?,
            };
            show_preview(global, &registry.preview_content(request).await?.into_inner());
        }
    }
    Ok(())
}

fn content(
    sms: Option<String>,
    diacritics: String,
    subject: Option<String>,
    text_file: Option<&Path>,
    html_file: Option<&Path>,
) -> Result<registry::Content, Failure> {
    let read = |path: Option<&Path>| match path {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("`{}`: {error}", path.display())))
        }
        None => Ok(String::new()),
    };
    match (sms, subject) {
        (Some(text), None) => {
            Ok(registry::Content { channel: event::Channel::Sms.into(), text, diacritics, ..Default::default() })
        }
        (None, Some(subject)) => Ok(registry::Content {
            channel: event::Channel::Email.into(),
            subject,
            text: read(text_file)?,
            html: read(html_file)?,
            diacritics: String::new(),
        }),
        _ => Err(Failure::Usage("give --sms TEXT, or --subject with --text-file and --html-file".to_owned())),
    }
}

fn show_template(global: &Global, template: &registry::Template) {
    let channel = json::channel(template.content.as_ref().map_or(0, |content| content.channel));
    match global.json {
        true => say(json!({
            "name": template.name, "version": template.version, "channel": channel, "slots": template.slots,
            "content_hash": json::hex(&template.content_hash),
        })
        .to_string()),
        false => say(format!("{} v{} ({channel}) {}", template.name, template.version, template.slots.join(" "))),
    }
}

/// Shows how a content looks.
pub fn show_preview(global: &Global, answer: &registry::PreviewContentResponse) {
    let lang = Lang::of(global);
    let sms = |preview: &registry::SmsPreview| json!({"text": preview.text, "coding": preview.coding, "units": preview.units, "parts": preview.parts});
    if global.json {
        let value = json!({
            "sms": answer.sms.as_ref().map(sms), "with_diacritics": answer.with_diacritics.as_ref().map(sms),
            "without_diacritics": answer.without_diacritics.as_ref().map(sms),
            "subject": answer.subject, "text": answer.text, "html": answer.html,
        });
        return say(value.to_string());
    }
    let line = |title: &str, preview: &registry::SmsPreview| {
        let parts = lang.pick("phần", "part(s)");
        say(format!("{title}: {} {}, {} {parts}\n  {}", preview.coding, preview.units, preview.parts, preview.text));
    };
    if let Some(preview) = &answer.sms {
        line(lang.pick("sẽ gửi", "will be sent"), preview);
    }
    if let Some(preview) = &answer.with_diacritics {
        line(lang.pick("có dấu", "with diacritics"), preview);
    }
    if let Some(preview) = &answer.without_diacritics {
        line(lang.pick("không dấu", "without diacritics"), preview);
    }
    if !answer.subject.is_empty() {
        say(format!("{}: {}\n{}", lang.pick("tiêu đề", "subject"), answer.subject, answer.text));
    }
}

/// `loa unit …`
pub async fn unit(global: &Global, command: UnitCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let mut registry = client.registry();
    match command {
        UnitCommand::List => {
            let mut token = String::new();
            loop {
                let request = registry::ListUnitsRequest { valid_at: None, page_size: 0, page_token: token };
                let answer = registry.list_units(request).await?.into_inner();
                answer.units.iter().for_each(|unit| show_unit(global, unit));
                token = answer.next_page_token;
                if token.is_empty() {
                    return Ok(());
                }
            }
        }
        UnitCommand::Put { code, name, kind, parent, from } => {
            let valid_from = Some(super::campaign_file::rfc3339(&from).map_err(Failure::Usage)?);
            let unit = registry::Unit { code, name, kind, parent_code: parent, valid_from, ..Default::default() };
            put_unit(global, &client, unit).await
        }
        UnitCommand::Import { file } => {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| Failure::Usage(format!("`{}`: {error}", file.display())))?;
            for (at, line) in text
                .trim_start_matches('\u{feff}')
                .lines()
                .enumerate()
                .skip(1)
                .filter(|(_, line)| !line.trim().is_empty())
            {
                let cells: Vec<&str> = line.split(',').map(str::trim).collect();
                let [code, name, kind, parent] = cells.as_slice() else {
                    return Err(Failure::Usage(format!(
                        "`{}` line {}: expected code,name,kind,parent",
                        file.display(),
                        at + 1
                    )));
                };
                let unit = registry::Unit {
                    code: (*code).to_owned(),
                    name: (*name).to_owned(),
                    kind: (*kind).to_owned(),
                    parent_code: (*parent).to_owned(),
                    valid_from: super::campaign_file::rfc3339(UNIT_FROM).ok(),
                    ..Default::default()
                };
                put_unit(global, &client, unit).await?;
            }
            Ok(())
        }
    }
}

async fn put_unit(global: &Global, client: &Client, unit: registry::Unit) -> Result<(), Failure> {
    let answer = client.registry().put_unit(registry::PutUnitRequest { unit: Some(unit) }).await?.into_inner();
    answer.unit.iter().for_each(|unit| show_unit(global, unit));
    Ok(())
}

fn show_unit(global: &Global, unit: &registry::Unit) {
    match global.json {
        true => {
            say(json!({"code": unit.code, "name": unit.name, "kind": unit.kind, "parent": unit.parent_code})
                .to_string())
        }
        false => say(format!("{:<24} {:<12} {}", unit.code, unit.kind, unit.name)),
    }
}

/// `loa notice …`
pub async fn notice(global: &Global, command: NoticeCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let mut registry = client.registry();
    let notice = match command {
        NoticeCommand::Create {
            title,
            template,
            template_version,
            class,
            lane,
            sender,
            unit,
            daily_ceiling,
            key_id,
        } => {
            let usage = |error: loa_domain::channel::UnknownName| Failure::Usage(error.to_string());
            let notice = registry::Notice {
                title,
                template,
                template_version,
                class: i32::from(class.parse::<Class>().map_err(usage)?.code()),
                lane: i32::from(lane.parse::<Lane>().map_err(usage)?.code()),
                sender,
                unit_code: unit,
                daily_ceiling,
                ..Default::default()
            };
            let idempotency_key = key_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            registry
                .create_notice(registry::CreateNoticeRequest { notice: Some(notice), idempotency_key })
                .await?
                .into_inner()
                .notice
        }
        NoticeCommand::Approve { id } => {
            registry.approve_notice(registry::ApproveNoticeRequest { id }).await?.into_inner().notice
        }
        NoticeCommand::Stop { id } => {
            registry.set_notice_state(registry::SetNoticeStateRequest { id, stopped: true }).await?.into_inner().notice
        }
        NoticeCommand::Allow { id } => {
            registry.set_notice_state(registry::SetNoticeStateRequest { id, stopped: false }).await?.into_inner().notice
        }
        NoticeCommand::List => {
            let mut token = String::new();
            loop {
                let request = registry::ListNoticesRequest { page_size: 0, page_token: token };
                let answer = registry.list_notices(request).await?.into_inner();
                answer.notices.iter().for_each(|notice| show_notice(global, notice));
                token = answer.next_page_token;
                if token.is_empty() {
                    return Ok(());
                }
            }
        }
    };
    notice.iter().for_each(|notice| show_notice(global, notice));
    Ok(())
}

fn show_notice(global: &Global, notice: &registry::Notice) {
    match global.json {
        true => say(json!({
            "id": notice.id, "title": notice.title, "state": notice.state, "channel": json::channel(notice.channel),
            "lane": json::lane(notice.lane), "class": json::class(notice.class), "sender": notice.sender,
            "daily_ceiling": notice.daily_ceiling, "slots": notice.slots, "approved_by": notice.approved_by,
        })
        .to_string()),
        false => {
            say(format!("{}  {:<9} {:<7} {}", notice.id, notice.state, json::channel(notice.channel), notice.title))
        }
    }
}

/// `loa send`
pub async fn send(global: &Global, send: SendArgs) -> Result<(), Failure> {
    let request = dispatch::SendRequest {
        notice_id: send.notice,
        to: send.to,
        slots: pairs(&send.slots)?,
        idempotency_key: send.key_id,
        expires_at: None,
    };
    let answer = Client::new(global)?.dispatch().send(request).await?.into_inner();
    match global.json {
        true => say(json!({"message_id": answer.message_id}).to_string()),
        false => say(answer.message_id),
    }
    Ok(())
}
