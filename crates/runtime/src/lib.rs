//! How a service lives: context, supervisor, leases, the view of control.v1, gRPC, configuration, telemetry.
//!
//! Must stay true: tasks run only under a [`ctx::Ctx`], so that stopping waits for them and a panic in one stops the
//! process instead of leaving it half alive.

pub mod clocks;
pub mod config;
pub mod control;
pub mod ctx;
pub mod fresh;
pub mod grpc;
pub mod lease;
pub mod metrics;
pub mod outbox;
pub mod peers;
pub mod probes;
pub mod record;
pub mod role;
pub mod rpc;
pub mod service;
pub mod supervise;
pub mod telemetry;
pub mod work;

pub use ctx::Ctx;
pub use role::Role;
pub use service::{Service, ServiceError};
