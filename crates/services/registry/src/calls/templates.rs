//! Templates, the contents they name by hash, and how a content looks when it is sent.

use std::collections::HashMap;

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::{
    Content, GetContentRequest, GetContentResponse, ListTemplatesRequest, ListTemplatesResponse, PreviewContentRequest,
    PreviewContentResponse, PutTemplateRequest, PutTemplateResponse, SmsPreview, Template,
};
use loa_domain::channel::Channel;
use loa_domain::template::{TemplateText, check_value};
use loa_domain::text::{self, Diacritics, TextError};
use loa_ports::store::StoreError;
use loa_ports::store::registry::Act;
use loa_runtime::rpc::{Caller, Violations, store_status};
use tonic::Status;

use super::{next_token, page};
use crate::change::TRIES;
use crate::core::Core;
use crate::rules::content::{self, Parsed};
use crate::rules::field;

/// Bytes of a content's hash.
const HASH_BYTES: usize = 32;

impl Core {
    pub(super) async fn put_template(
        &self,
        caller: &Caller,
        request: PutTemplateRequest,
    ) -> Result<PutTemplateResponse, Status> {
        let mut faults = Violations::new();
        field::name("name", &request.name, &mut faults);
        let content = content::canonical(&request.content.unwrap_or_default());
        let parsed = content::check(&content, &mut faults);
        faults.into_result()?;
        let now_us = self.now_us();
        let template = Template {
            name: request.name,
            content_hash: content::hash(&content).to_vec(),
            slots: parsed.as_ref().map(Parsed::slots).unwrap_or_default(),
            created_at: Some(timestamp(now_us)),
            created_by: caller.user.clone(),
            ..Template::default()
        };
        let act = Act {
            at_us: now_us,
            user: caller.user.clone(),
            object_kind: "template",
            object_id: template.name.clone(),
            action: "put".to_owned(),
            detail: String::new(),
        };
        let mut tries = 1;
        loop {
            match self.store.put_template(&template, &content, &act).await {
                Ok(stored) => return Ok(PutTemplateResponse { template: Some(stored) }),
                // The same content again is the same version.
                Err(StoreError::Uncertain { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(store_status(&error)),
            }
        }
    }

    pub(super) async fn list_templates(
        &self,
        _caller: &Caller,
        request: ListTemplatesRequest,
    ) -> Result<ListTemplatesResponse, Status> {
        let mut faults = Violations::new();
        let page = page(request.page_size, &request.page_token, &mut faults);
        faults.into_result()?;
        let page = self.store.templates(page).await.map_err(|error| store_status(&error))?;
        Ok(ListTemplatesResponse { next_page_token: next_token(&page), templates: page.rows })
    }

    pub(super) async fn get_content(
        &self,
        _caller: &Caller,
        request: GetContentRequest,
    ) -> Result<GetContentResponse, Status> {
        Ok(GetContentResponse { content: Some(self.content(&request.content_hash).await?) })
    }

    async fn content(&self, hash: &[u8]) -> Result<Content, Status> {
        let mut faults = Violations::new();
        if hash.len() != HASH_BYTES {
            faults.add("content_hash", "the 32 bytes of a SHA-256; ListTemplates shows them");
        }
        faults.into_result()?;
        let content = self.store.content(hash).await.map_err(|error| store_status(&error))?;
        content
            .ok_or_else(|| Status::not_found("there is no content with this hash; ListTemplates shows what there is"))
    }

    pub(super) async fn preview_content(
        &self,
        _caller: &Caller,
        request: PreviewContentRequest,
    ) -> Result<PreviewContentResponse, Status> {
        let mut faults = Violations::new();
        let content = match (request.content, request.content_hash.is_empty()) {
            (Some(content), true) => content::canonical(&content),
            (None, false) => self.content(&request.content_hash).await?,
            (Some(_), false) | (None, true) => {
                faults.add("content", "either content or content_hash");
                faults.into_result()?;
                return Err(Status::internal("a fault was not reported"));
            }
        };
        let parsed = content::check(&content, &mut faults);
        if let Some(parsed) = &parsed {
            check_slots(parsed, &request.slots, &mut faults);
        }
        let preview = parsed.filter(|_| faults.is_empty()).map(|parsed| render(&parsed, &request.slots, &mut faults));
        faults.into_result()?;
        Ok(preview.unwrap_or_default())
    }
}

/// Every slot has a value that may stand in a text, and no value is without a slot.
fn check_slots(parsed: &Parsed, values: &HashMap<String, String>, faults: &mut Violations) {
    let slots = parsed.slots();
    for slot in &slots {
        let value = values.get(slot).map_or("", String::as_str);
        let _ = faults.check(&format!("slots.{slot}"), check_value(slot, value));
    }
    let mut unknown: Vec<_> = values.keys().filter(|name| !slots.contains(name)).collect();
    unknown.sort_unstable();
    for name in unknown {
        let name: String = name.chars().take(40).collect();
        faults.add(format!("slots.{name}"), format!("the content has no such slot; it has: {}", slots.join(", ")));
    }
}

fn render(parsed: &Parsed, values: &HashMap<String, String>, faults: &mut Violations) -> PreviewContentResponse {
    let value = |slot: &str| values.get(slot).map(String::as_str);
    let mut text = |template: &TemplateText| faults.check("slots", template.render(value)).unwrap_or_default();
    let rendered = text(&parsed.text);
    match parsed.channel {
        Channel::Sms => sms(&rendered, parsed.diacritics, faults),
        Channel::Email => PreviewContentResponse {
            subject: text(&parsed.subject),
            text: rendered,
            html: faults.check("slots", parsed.html.render_html(value)).unwrap_or_default(),
            ..PreviewContentResponse::default()
        },
    }
}

fn sms(rendered: &str, policy: Diacritics, faults: &mut Violations) -> PreviewContentResponse {
    let one = |sent: Result<std::borrow::Cow<'_, str>, TextError>| sent.ok().map(|text| preview(&text));
    let sent = faults.check("content.text", content::sent(rendered, policy));
    PreviewContentResponse {
        sms: sent.map(|text| preview(&text)),
        with_diacritics: one(text::apply(rendered, Diacritics::AsIs)),
        without_diacritics: one(text::apply(rendered, Diacritics::Strip)),
        ..PreviewContentResponse::default()
    }
}

fn preview(sent: &str) -> SmsPreview {
    let parts = text::count(sent);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    SmsPreview {
        text: sent.to_owned(),
        coding: parts.coding.name().to_owned(),
        units: number(parts.units),
        parts: number(parts.parts),
    }
}
