//! The least a program can do, to compare with.

fn main() {}
