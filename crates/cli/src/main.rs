//! The mailward command.

fn main() {}
