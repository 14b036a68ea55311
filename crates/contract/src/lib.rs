//! Generated Protobuf, every topic, and the conversions from and to domain types.
//!
//! Must stay true: a topic's type, key, partitions and retention are declared once, in [`topics`]; conversions refuse
//! what the domain refuses.
#![warn(missing_docs)]

/// Generated code: one module per Protobuf package.
#[allow(
    missing_docs,
    clippy::all,
    rustdoc::all,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    rust_2018_idioms,
    reason = "generated; the documentation is in proto/"
)]
pub mod pb {
    macro_rules! packages {
        ($($(#[$doc:meta])* $name:ident,)*) => {
            $(
                $(#[$doc])*
                pub mod $name {
                    /// Version 1.
                    pub mod v1 {
                        include!(concat!(env!("OUT_DIR"), "/loa.", stringify!($name), ".v1.rs"));
                    }
                }
            )*
        };
    }

    packages! {
        /// Records of the topics.
        event,
        /// The campaign registry.
        registry,
        /// Audience.
        audience,
        /// Dispatch.
        dispatch,
        /// The SMS gateway.
        sms,
        /// The email gateway.
        email,
        /// The ledger.
        report,
    }
}

/// The descriptors of every service, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod convert;
pub mod topics;
