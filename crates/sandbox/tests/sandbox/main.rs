//! The helper, its shims and its workers, with the real runtime on the real kernel. Needs root.

#![allow(clippy::unwrap_used, reason = "clippy looks into test functions only, these are their helpers")]

mod confinement;
mod door;
mod jail;
mod life;
mod limits;
mod network;
mod recovery;
mod twins;
mod workers;
mod world;
