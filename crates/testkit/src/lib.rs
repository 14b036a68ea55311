//! What tests share: a clock to turn, dice with a seed, the storm, waiting for conditions, a gateway's surroundings, and one
//! conformance suite per port.
//!
//! Must stay true: nothing here is linked into the product, and nothing here knows an adapter or a service; suites and
//! storm speak to ports alone.

pub mod clock;
pub mod dice;
pub mod eventually;
pub mod gateway;
pub mod otlp;
pub mod status;
pub mod storm;
pub mod suites;
pub mod topic;

pub use clock::FakeClock;
pub use eventually::eventually;
pub use topic::records;
