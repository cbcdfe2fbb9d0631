//! The application layer over a real store: who may ask, what is checked, what is kept, what is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

extern crate windlass_app as app;

mod logs;
mod people;
mod pushes;
mod retries;
mod rollbacks;
mod tools;
#[expect(dead_code, reason = "the doors above this layer are tested with the same world")]
mod world;
