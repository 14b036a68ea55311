//! Templates have versions, contents have hashes, and a preview shows what will be sent.

use std::collections::HashMap;

use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;

use super::world::{AUTHOR, World, by, fields, mail, sms};

async fn put(world: &World, name: &str, content: Content) -> Template {
    let request = PutTemplateRequest { name: name.to_owned(), content: Some(content) };
    world.calls.put_template(by(AUTHOR, request)).await.unwrap().into_inner().template.unwrap()
}

#[tokio::test]
async fn the_same_content_is_the_same_version() {
    let world = World::new().await;
    let first = put(&world, "a", sms("Xin chào {ten}")).await;
    let second = put(&world, "a", sms("Chào {ten}")).await;
    let again = put(&world, "a", sms("Xin cha\u{300}o {ten}")).await; // decomposed: the same words
    let other_name = put(&world, "b", sms("Xin chào {ten}")).await;
    assert_eq!([first.version, second.version, again.version, other_name.version], [1, 2, 1, 1]);
    assert_eq!(first, again);
    assert_eq!(first.content_hash, other_name.content_hash);
    assert_eq!((first.slots, first.created_by.as_str()), (vec!["ten".to_owned()], AUTHOR));

    let listed = world.calls.list_templates(by(AUTHOR, ListTemplatesRequest::default())).await.unwrap().into_inner();
    let newest: Vec<_> = listed.templates.iter().map(|template| (template.name.as_str(), template.version)).collect();
    assert_eq!(newest, [("a", 2), ("b", 1)]);
    assert_eq!(
        world.audit("a").await.iter().map(|entry| &*entry.detail).collect::<Vec<_>>(),
        ["version 1", "version 2"]
    );

    let request = GetContentRequest { content_hash: first.content_hash };
    let content = world.calls.get_content(by("dung", request)).await.unwrap().into_inner().content.unwrap();
    assert_eq!(content.text, "Xin chào {ten}");
}

async fn preview(world: &World, content: Content, slots: &[(&str, &str)]) -> PreviewContentResponse {
    let slots: HashMap<_, _> = slots.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request = PreviewContentRequest { content: Some(content), slots, ..PreviewContentRequest::default() };
    world.calls.preview_content(by(AUTHOR, request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_preview_counts_parts_with_and_without_diacritics() {
    let world = World::new().await;
    let long = "Chuyển đổi số ".repeat(6);
    let auto = Content { diacritics: "auto".to_owned(), ..sms(&format!("{long}{{ten}}")) };
    let shown = preview(&world, auto, &[("ten", "Lan")]).await;
    let sms_of = |shown: Option<SmsPreview>| shown.map(|sms| (sms.coding, sms.units, sms.parts)).unwrap();
    assert_eq!(shown.sms.as_ref().unwrap().text, format!("{}Lan", "Chuyen doi so ".repeat(6)));
    assert_eq!(sms_of(shown.sms), ("gsm7".to_owned(), 87, 1));
    assert_eq!(sms_of(shown.with_diacritics), ("ucs2".to_owned(), 87, 2));
    assert_eq!(sms_of(shown.without_diacritics), ("gsm7".to_owned(), 87, 1));
    let smile = preview(&world, sms("Chào 😀"), &[]).await;
    assert_eq!(smile.without_diacritics, None); // has no plain form
    assert_eq!(sms_of(smile.sms).0, "ucs2");
}

#[tokio::test]
async fn a_mail_preview_escapes_values_in_html_alone() {
    let world = World::new().await;
    let shown = preview(&world, mail(), &[("ten", "Lan & <b>An</b>")]).await;
    assert_eq!(shown.subject, "Thư mời Lan & <b>An</b>");
    assert_eq!(shown.text, "Kính gửi Lan & <b>An</b>");
    assert_eq!(shown.html, "<p>Kính gửi Lan &amp; &lt;b&gt;An&lt;/b&gt;</p>");
    assert_eq!(shown.sms, None);
}

#[tokio::test]
async fn a_preview_by_hash_and_one_that_is_too_long() {
    let world = World::new().await;
    let stored = put(&world, "a", sms(&format!("{}{{ten}}", "a".repeat(1_520)))).await;
    let request = |ten: &str| PreviewContentRequest {
        content_hash: stored.content_hash.clone(),
        slots: [("ten".to_owned(), ten.to_owned())].into(),
        ..PreviewContentRequest::default()
    };
    let fits = world.calls.preview_content(by(AUTHOR, request("1234567890"))).await.unwrap().into_inner();
    assert_eq!(fits.sms.unwrap().parts, 10);
    let too_long = world.calls.preview_content(by(AUTHOR, request("12345678901"))).await.unwrap_err();
    assert_eq!(fields(&too_long), ["content.text"]);
    let neither = world.calls.preview_content(by(AUTHOR, PreviewContentRequest::default())).await.unwrap_err();
    assert_eq!(fields(&neither), ["content"]);
}
