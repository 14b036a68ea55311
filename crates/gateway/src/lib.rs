//! What the gateways share.
