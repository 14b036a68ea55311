//! The rules of the tree that a program can check.
