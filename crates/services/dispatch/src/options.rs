//! What configuration decides about dispatch.

use loa_domain::hours::DailyWindow;
use loa_ports::audience::Router;

use crate::core::Rules;

/// Options of the role.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tries of one message before it is rejected, 1 to 20.
    pub tries_max: u8,
    /// Public information respects the do-not-call register too.
    pub respect_dnc_for_public: bool,
    /// Any hour is open, whatever class and campaign say: for demonstrations alone.
    pub any_hour: bool,
    /// Which account takes which single send; the same routes as at freeze.
    pub router: Router,
    /// Where this process's gRPC is reached; empty if it is not served.
    pub endpoint: String,
}

impl Default for Options {
    fn default() -> Self {
        let Rules { tries_max, respect_dnc_for_public, .. } = Rules::default();
        Self { tries_max, respect_dnc_for_public, any_hour: false, router: Router::default(), endpoint: String::new() }
    }
}

impl Options {
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            tries_max: self.tries_max.max(1),
            respect_dnc_for_public: self.respect_dnc_for_public,
            hours_override: self.any_hour.then_some(DailyWindow::ALWAYS),
        }
    }
}
