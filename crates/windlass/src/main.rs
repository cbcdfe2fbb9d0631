//! The binary: CLI verbs, `up`, `serve`, `helper`, `router`; the only crate that names backends.
fn main() {}
