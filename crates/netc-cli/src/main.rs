//! The command netc.
fn main() {}
