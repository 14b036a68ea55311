//! Audience over real files, a real store and real gRPC: calls, rights, two instances, storms.

mod contract;
mod freezing;
mod importing;
mod instances;
mod storm;
mod suppressing;
mod world;
