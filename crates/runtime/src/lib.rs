//! How a service lives: context, supervisor, configuration, gRPC server, telemetry, leases.
