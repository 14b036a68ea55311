//! What every page has around it: language, links, and how it is sent.
//!
//! Must stay true: a link keeps the language; what is put into a link is encoded.

use std::collections::HashMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};

use crate::App;
use crate::lang::Lang;

/// The query of a page; where a key comes twice the last counts.
pub(crate) type Asked = axum::extract::Query<HashMap<String, String>>;

/// The frame of a page.
pub(crate) struct Shell {
    pub(crate) lang: Lang,
    /// The part of the menu that is shown as chosen.
    pub(crate) tab: &'static str,
    /// Whether simulators run in this process.
    pub(crate) inbox: bool,
    path: String,
    kept: Vec<(&'static str, String)>,
}

impl Shell {
    pub(crate) fn new(app: &App, asked: &HashMap<String, String>, tab: &'static str, path: impl Into<String>) -> Self {
        let lang = Lang::of(asked.get("lang").map(String::as_str));
        Self { lang, tab, inbox: app.inbox.is_some(), path: path.into(), kept: Vec::new() }
    }

    /// Keeps a value in the link to the same page in the other language.
    pub(crate) fn keep(mut self, key: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.kept.push((key, value.to_owned()));
        }
        self
    }

    /// The text of this page's language.
    pub(crate) fn t<'a>(&self, vi: &'a str, en: &'a str) -> &'a str {
        self.lang.pick(vi, en)
    }

    /// A link that keeps the language.
    pub(crate) fn href(&self, path: &str) -> String {
        link(path, self.lang, &[])
    }

    /// A link with one value.
    pub(crate) fn href_with(&self, path: &str, key: &'static str, value: &str) -> String {
        link(path, self.lang, &[(key, value.to_owned())])
    }

    /// This page in the other language.
    pub(crate) fn other(&self) -> String {
        link(&self.path, self.lang.other(), &self.kept)
    }
}

fn link(path: &str, lang: Lang, values: &[(&'static str, String)]) -> String {
    let english = (lang == Lang::En).then(|| ("lang", lang.code().to_owned()));
    let pairs = values.iter().cloned().chain(english);
    let query: Vec<_> = pairs.map(|(key, value)| format!("{key}={}", encoded(&value))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// Percent-encoded for a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(octet)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A page as an answer.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_the_language_and_encode_values() {
        assert_eq!(link("/", Lang::Vi, &[]), "/");
        assert_eq!(
            link("/inbox", Lang::En, &[("q", "Bến & Tre=\"".to_owned())]),
            "/inbox?q=B%E1%BA%BFn%20%26%20Tre%3D%22&lang=en"
        );
    }
}
