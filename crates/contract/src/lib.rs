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
    /// Records of the topics.
    pub mod event {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("loa.event.v1");
        }
    }
    /// The campaign registry.
    pub mod registry {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("loa.registry.v1");
        }
    }
    /// Audience.
    pub mod audience {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("loa.audience.v1");
        }
    }
    /// Dispatch.
    pub mod dispatch {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("loa.dispatch.v1");
        }
    }
    /// The SMS gateway.
    pub mod sms {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("loa.sms.v1");
        }
    }
    /// The email gateway.
    pub mod email {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("loa.email.v1");
        }
    }
    /// The ledger.
    pub mod report {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("loa.report.v1");
        }
    }
}

/// The descriptors of every service, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod convert;
pub mod topics;
