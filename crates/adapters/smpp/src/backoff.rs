//! How long a bind waits before it tries again, and what the operator reads meanwhile.
//!
//! Must stay true: a wrong password is never tried more than once a minute (carriers lock accounts); nothing is tried in a
//! tight loop; many binds of one account do not come back in the same moment.

use std::time::Duration;

use loa_wire_smpp::session::Closed;
use loa_wire_smpp::status;

use crate::ended::Ended;

const MINUTE: Duration = Duration::from_secs(60);

/// First and longest wait of one kind of failure.
#[derive(Clone, Copy)]
struct Waits {
    first: Duration,
    longest: Duration,
}

/// The network, or a carrier that restarts.
const UNREACHABLE: Waits = Waits { first: Duration::from_secs(1), longest: MINUTE };
/// An old session of ours lingers at the carrier.
const ALREADY_BOUND: Waits = Waits { first: Duration::from_secs(30), longest: Duration::from_secs(120) };
/// Trying again cannot help and may lock the account; somebody must look.
const REFUSED: Waits = Waits { first: MINUTE, longest: Duration::from_secs(15 * 60) };

/// Failures in a row of one bind.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The bind stood: the next failure is the first one.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The wait after a failure; `jitter` from 0 to 1 spreads it over its upper half.
    pub(crate) fn wait(&mut self, ended: &Ended, jitter: f64) -> Duration {
        let waits = waits(ended);
        let doubled = waits.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = (self.failures + 1).min(16);
        let longest = doubled.min(waits.longest);
        match waits.first >= ALREADY_BOUND.first {
            true => longest.mul_f64(1.0 + jitter / 4.0), // never sooner than the carrier wants
            false => longest.mul_f64(0.5 + jitter / 2.0),
        }
    }
}

fn waits(ended: &Ended) -> Waits {
    match ended {
        Ended::Closed(Closed::BindRefused { status: status::RALYBND }) => ALREADY_BOUND,
        Ended::Closed(Closed::BindRefused { .. }) | Ended::Refused { .. } | Ended::Settings { .. } => REFUSED,
        _ => UNREACHABLE,
    }
}

/// What the operator reads: what was said, and the cure where there is one.
pub(crate) fn explain(account: &str, ended: &Ended) -> String {
    let cure = match ended {
        Ended::Closed(Closed::BindRefused { status: status::RALYBND }) => {
            "an earlier bind is still known there, or more binds are configured than the carrier allows"
        }
        Ended::Closed(Closed::BindRefused { status: status::RINVPASWD | status::RINVSYSID | status::RBINDFAIL }) => {
            "correct system_id and password of the account; it is tried seldom, since carriers lock an account after \
             wrong ones"
        }
        Ended::Closed(Closed::BindRefused { .. }) => "ask the carrier what it means",
        Ended::Refused { .. } => "the carrier stopped the whole bind, not one message; ask what it means",
        Ended::Unreachable { .. } => "check address, port, TLS and the carrier's list of allowed addresses",
        Ended::Settings { .. } => "correct the account's settings",
        Ended::NotStored => "the carrier will send them again; look at the log's health",
        Ended::Closed(_) | Ended::Socket { .. } | Ended::Stopped => "",
    };
    let status = match ended {
        Ended::Closed(Closed::BindRefused { status }) | Ended::Refused { status } => status::name(*status),
        _ => None,
    };
    let status = status.map(|name| format!(" ({name})")).unwrap_or_default();
    let cure = if cure.is_empty() { String::new() } else { format!(": {cure}") };
    format!("account {account}: {ended}{status}{cure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u32) -> Ended {
        Ended::Closed(Closed::BindRefused { status })
    }

    #[test]
    fn waits_longer_and_longer() {
        #[track_caller]
        fn check(ended: &Ended, jitter: f64, seconds: &[f64]) {
            let mut backoff = Backoff::default();
            let waits: Vec<f64> = seconds.iter().map(|_| backoff.wait(ended, jitter).as_secs_f64()).collect();
            assert_eq!(waits, seconds, "{ended:?}");
        }

        let socket = Ended::Closed(Closed::SocketClosed);
        check(&socket, 1.0, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        check(&socket, 0.0, &[0.5, 1.0, 2.0]);
        check(&refused(status::RALYBND), 0.0, &[30.0, 60.0, 120.0, 120.0]);
        check(&refused(status::RALYBND), 1.0, &[37.5, 75.0, 150.0]);
        check(&refused(status::RINVPASWD), 0.0, &[60.0, 120.0, 240.0, 480.0, 900.0, 900.0]);
        check(&Ended::Refused { status: 0x0412 }, 0.0, &[60.0, 120.0]);
        check(&Ended::NotStored, 1.0, &[1.0, 2.0]);

        let mut backoff = Backoff::default();
        backoff.wait(&socket, 1.0);
        backoff.wait(&socket, 1.0);
        backoff.succeeded();
        assert_eq!(backoff.wait(&socket, 1.0), Duration::from_secs(1));
    }

    #[test]
    fn says_what_to_do() {
        let text = explain("viet", &refused(status::RINVPASWD));
        assert!(
            text.starts_with("account viet: the peer refused the bind with status 0x000e (RINVPASWD): correct"),
            "{text}"
        );
        assert!(explain("viet", &refused(status::RALYBND)).contains("(RALYBND): an earlier bind"));
        assert_eq!(explain("viet", &Ended::Closed(Closed::PeerUnbound)), "account viet: the peer unbound");
    }
}
