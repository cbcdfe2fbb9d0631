//! The helper, its shims and its workers, with the real runtime on the real kernel. Needs root.

mod confinement;
mod life;
mod limits;
mod network;
mod recovery;
mod workers;
mod world;
