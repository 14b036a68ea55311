//! Pages and notes about what cannot be shown: each says what happened and what to do.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use crate::App;
use crate::calls::Trouble;
use crate::shell::{Asked, Shell, page};

/// A whole page about it.
#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'a> {
    shell: &'a Shell,
    code: u16,
    title: &'a str,
    trouble: Trouble,
}

/// A note within a page.
#[derive(Template)]
#[template(path = "trouble.html")]
pub(crate) struct TroublePart<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) trouble: Trouble,
}

/// Nothing is at this address.
pub(crate) async fn no_page(State(app): State<App>, uri: Uri, Query(asked): Asked) -> Response {
    let shell = Shell::new(&app, &asked, "", uri.path());
    let title = shell.t("Không có trang này", "There is no such page");
    problem(&shell, title, Trouble::NotFound)
}

/// The page cannot be shown.
pub(crate) fn problem(shell: &Shell, title: &str, trouble: Trouble) -> Response {
    let status = match trouble {
        Trouble::NotFound => StatusCode::NOT_FOUND,
        Trouble::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
        Trouble::Failed(..) => StatusCode::BAD_GATEWAY,
    };
    page(status, &Problem { shell, code: status.as_u16(), title, trouble })
}
