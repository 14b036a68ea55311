//! The operator pages, over gRPC alone.
