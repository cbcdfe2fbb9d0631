//! The Cloud Native Buildpacks lifecycle: what turns a source tree and buildpacks into an image.
//!
//! Inside the build's sandbox, without any credential: [`detect`], [`build`] and [`testing`] (program `lifecycle`), and in the
//! finished image the [`launch`]er. Outside, in a worker that reads what the sandbox left as hostile bytes:
//! [`export`], and [`restore`], which hands the next build its layers as mounts.

pub mod build;
pub mod buildpack;
pub mod detect;
pub mod environment;
pub mod export;
pub mod inputs;
pub mod launch;
pub mod program;
pub mod restore;
pub mod testing;
pub mod worker;
