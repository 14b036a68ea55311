//! The log port in the process, on one SQLite file.
