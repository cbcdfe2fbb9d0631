//! The program as people run it, against the real API over a real store, with the real git.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod desk;
mod signing_in;
mod verbs;
#[path = "../../../app/tests/app/world.rs"]
#[expect(dead_code, reason = "the world of the application layer's own tests, which use all of it")]
mod world;
