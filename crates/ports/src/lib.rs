//! What Loa asks of the world: the log, stores, leases, carriers, mailers, buckets, the clock.
//!
//! A port's error answers a question (retry? whose fault? what does the operator do?), never names a technology. Services
//! hold ports as `Arc<dyn …>`; `loa/compose` alone knows which adapter serves which port; one conformance suite per port
//! runs on every adapter.
//!
//! Must stay true: the reading rule. An owner stores the offsets it has read **in the same transaction as the state they
//! produced**, or, for gateways and the correlator, as a watermark behind what was published; hand-over to a carrier
//! follows the claims.
#![warn(missing_docs)]

pub mod audience;
pub mod bucket;
pub mod carrier;
pub mod clock;
pub mod lease;
pub mod log;
pub mod mailer;
pub mod store;
