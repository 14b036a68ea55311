//! The binary: command line and composition.

fn main() {}
