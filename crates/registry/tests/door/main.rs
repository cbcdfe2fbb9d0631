//! The registry's door over a real store: uploads, manifests, rights, and what strangers send.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

extern crate windlass_registry as registry;

mod bad;
mod crowd;
mod damage;
mod images;
mod rights;
mod uploads;
mod world;
