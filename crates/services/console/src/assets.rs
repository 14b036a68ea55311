//! The style sheet, the script, the icon, and the headers of every answer.
//!
//! Must stay true: a page loads nothing from elsewhere and runs nothing that does not stand in `static/`; pages are not
//! kept by anybody on the way.

use axum::extract::Path;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// What a browser may do with our pages: show them, with our own style, script and icon.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

const FILES: &[(&str, &str, &str)] = &[
    ("console.css", "text/css; charset=utf-8", include_str!("../static/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../static/console.js")),
    ("loa.svg", "image/svg+xml", include_str!("../static/loa.svg")),
];

/// A file of `static/`.
pub(crate) async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some(&(_, kind, text)) => {
            let kept = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=300")];
            (kept, text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Adds the headers that every answer has.
pub(crate) async fn with_headers(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
