//! The operator's pages, in Vietnamese and English: campaigns, a campaign's live ledger, carriers, the simulated inbox.
//!
//! Pages are rendered here and need no script; a little of it keeps them fresh. Whoever reaches the port may read, so
//! there is nothing to change and nobody's data: by default it listens on loopback.
//!
//! Must stay true: it talks gRPC to the other roles, and only calls that change nothing; everything that comes from
//! elsewhere is escaped; no number, address or text of a person is shown but those of the simulated inbox.

mod assets;
mod calls;
mod inbox;
mod lang;
mod ledger;
mod pages;
mod shell;
mod watch;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::middleware::map_response;
use axum::routing::get;
use loa_runtime::{Ctx, Service, ServiceError};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use inbox::{InboxItem, Inboxes};

/// Live pages that are served at a time; who comes later looks again by himself.
pub const WATCHES_MAX: usize = 100;

/// The console of a process.
pub struct Console {
    listener: TcpListener,
    inbox: Option<Arc<dyn Inboxes>>,
}

impl Console {
    /// On a bound listener; with the simulated inbox where simulators run.
    pub fn new(listener: TcpListener, inbox: Option<Arc<dyn Inboxes>>) -> Self {
        Self { listener, inbox }
    }
}

/// What every page is made from.
#[derive(Clone)]
struct App {
    ctx: Ctx,
    inbox: Option<Arc<dyn Inboxes>>,
    watches: Arc<Semaphore>,
}

#[async_trait]
impl Service for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let app = App { ctx: ctx.clone(), inbox: self.inbox, watches: Arc::new(Semaphore::new(WATCHES_MAX)) };
        axum::serve(self.listener, router(app)).with_graceful_shutdown(async move { ctx.stopping().await }).await?;
        Ok(())
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(pages::campaigns::show))
        .route("/campaign/{id}", get(pages::campaign::show))
        .route("/campaign/{id}/events", get(watch::events))
        .route("/carriers", get(pages::carriers::show))
        .route("/inbox", get(pages::inbox::show))
        .route("/static/{name}", get(assets::file))
        .fallback(pages::problem::no_page)
        .layer(map_response(assets::with_headers))
        .with_state(app)
}
