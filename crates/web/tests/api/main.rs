//! The API door over the real application layer and a real store.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

extern crate windlass_web as web;

mod answers;
mod document;
mod door;
mod rights;
#[path = "../../../app/tests/app/world.rs"]
#[expect(dead_code, reason = "the world of the application layer's own tests, which use all of it")]
mod world;
