//! A Loa for tests: started, killed, frozen, put into a storm, and compared with the books of the simulated world.
//!
//! A [`Site`] is a simulated carrier and mail server with their sink logs, a Loa, and its users. The Loa is either the
//! real binary as a child process, which can be killed and stopped like any process, or two instances of every role in
//! this process, on the same stores and one log, in a storm. Carrier and mail server may be somebody else's, too: whoever
//! implements [`sims::Sinks`].
//!
//! Must stay true: every end-to-end test ends with [`Site::finish`], which compares the ledger with the sinks recipient by
//! recipient and looks for personal data in everything that was printed; nothing here waits for time, only for conditions.

pub mod authority;
pub mod backup;
pub mod books;
pub mod capture;
pub mod claims;
pub mod clock;
pub mod cluster;
pub mod http;
pub mod kills;
pub mod leases;
pub mod notice;
pub mod plan;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod secrets;
pub mod seed;
pub mod sims;
pub mod site;
pub mod storm;
pub mod turns;
pub mod usage;
pub mod users;
pub mod wait;

pub use plan::Plan;
pub use site::{Kind, Loa, Site, SiteOptions};
pub use wait::wait_for;

/// What a test ends with when it could not even look.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What a test returns.
pub type TestResult<T = ()> = Result<T, Fault>;

/// A fault in words.
pub fn fault(words: impl Into<String>) -> Fault {
    words.into().into()
}

/// Prints a line that a person reads beside the test's result: a seed, a list, a figure.
#[allow(clippy::print_stdout, reason = "figures and seeds of tests are read on the test's output")]
pub fn say(line: impl std::fmt::Display) {
    println!("{line}");
}
