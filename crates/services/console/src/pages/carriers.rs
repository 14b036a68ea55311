//! Carrier accounts with their binds, and mail relays: are they there, and how fast may they go.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use loa_contract::pb::{email::v1 as email, sms::v1 as sms};
use loa_runtime::Role;

use crate::App;
use crate::calls::{self, Trouble, ask};
use crate::lang::Lang;
use crate::shell::{Asked, Shell, page};
use crate::words;

#[derive(Template)]
#[template(path = "carriers.html")]
struct Carriers<'a> {
    shell: &'a Shell,
    accounts: Vec<Account>,
    sms_trouble: Option<Trouble>,
    relays: Vec<Relay>,
    email_trouble: Option<Trouble>,
}

struct Account {
    name: String,
    address: String,
    simulator: bool,
    rate: String,
    rate_max: String,
    /// Slower than configured, because the carrier asked for it.
    slowed: bool,
    binds: Vec<Bind>,
    counts: [(&'static str, String); 4],
}

struct Bind {
    slot: u32,
    word: String,
    colour: &'static str,
    in_flight: u32,
    last_error: String,
}

struct Relay {
    name: String,
    address: String,
    simulator: bool,
    connections: u32,
    rate_max: String,
    last_error: String,
    counts: [(&'static str, String); 3],
}

/// The page.
pub(crate) async fn show(State(app): State<App>, Query(asked): Asked) -> Response {
    let shell = Shell::new(&app, &asked, "carriers", "/carriers");
    let (mut sms_client, mut email_client) = (calls::sms(&app.ctx), calls::email(&app.ctx));
    let (texts, mails) = tokio::join!(
        ask(Role::Sms, sms_client.get_status(sms::GetStatusRequest {})),
        ask(Role::Email, email_client.get_status(email::GetStatusRequest {})),
    );
    let sms_trouble = texts.as_ref().err().copied();
    let email_trouble = mails.as_ref().err().copied();
    let accounts = texts.map(|status| status.accounts).unwrap_or_default();
    let relays = mails.map(|status| status.relays).unwrap_or_default();
    let view = Carriers {
        accounts: accounts.into_iter().map(|one| account(shell.lang, one)).collect(),
        sms_trouble,
        relays: relays.into_iter().map(|one| relay(shell.lang, one)).collect(),
        email_trouble,
        shell: &shell,
    };
    page(StatusCode::OK, &view)
}

fn account(lang: Lang, status: sms::AccountStatus) -> Account {
    let bind = |bind: sms::BindStatus| {
        let (word, colour) = words::bind(lang, &bind.state);
        Bind { slot: bind.slot, word, colour, in_flight: bind.in_flight, last_error: bind.last_error }
    };
    Account {
        rate: lang.rate(status.rate),
        rate_max: lang.rate(status.rate_max),
        slowed: status.rate < status.rate_max,
        binds: status.binds.into_iter().map(bind).collect(),
        counts: [
            (lang.pick("đã gửi", "submitted"), lang.number(status.submitted)),
            (lang.pick("báo phát", "receipts"), lang.number(status.receipts)),
            (lang.pick("báo phát lạc", "unmatched receipts"), lang.number(status.unmatched_receipts)),
            (lang.pick("bị nhà mạng hãm", "throttled"), lang.number(status.throttled)),
        ],
        name: status.account,
        address: status.address,
        simulator: status.simulator,
    }
}

fn relay(lang: Lang, status: email::RelayStatus) -> Relay {
    Relay {
        connections: status.connections,
        rate_max: lang.rate(status.rate_max),
        last_error: status.last_error,
        counts: [
            (lang.pick("đã nhận", "accepted"), lang.number(status.delivered)),
            (lang.pick("bị từ chối", "refused"), lang.number(status.refused)),
            (lang.pick("nghi ngờ", "in doubt"), lang.number(status.in_doubt)),
        ],
        name: status.account,
        address: status.address,
        simulator: status.simulator,
    }
}
