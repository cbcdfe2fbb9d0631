//! World: the real platform with its own data, instance and port, and a leak check when it is dropped.
//!
//! A test reads as a story: [`World::new`], [`World::tool`], [`Tool::push`], [`Tool::get`]. Nothing is faked; base
//! images come from `tools/base.sh`, programs from the build.

mod census;
mod disk;
mod http;
mod leaks;
mod load;
pub mod pack;
mod patience;
mod repository;
mod world;

pub use census::Census;
pub use disk::size_bytes;
pub use http::Answer;
pub use load::{Load, LoadReport, Loss};
pub use patience::{Hold, PATIENCE, wait_for};
pub use repository::{Pushed, Tool};
pub use world::{Ran, World};
