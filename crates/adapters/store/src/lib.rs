//! The stores of every role on SQL.
