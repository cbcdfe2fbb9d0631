//! Every Cloud Native Buildpacks file format the platform needs, read and written: one format per file, each citing
//! its section of the specification (platform.md, buildpack.md of buildpacks/spec).
//!
//! Pure: text in, values out. Unknown keys are ignored, because the specification says so and because newer
//! buildpacks write more than we know. What a file may not hold is refused with a sentence.

pub mod analyzed;
pub mod api;
pub mod build;
pub mod build_plan;
pub mod buildpack;
pub mod buildpack_plan;
pub mod convert;
pub mod exec_d;
pub mod file;
pub mod group;
pub mod id;
pub mod label;
pub mod launch;
pub mod layer;
pub mod metadata;
pub mod order;
pub mod plan;
pub mod process;
pub mod project;
pub mod project_metadata;
pub mod report;
pub mod run;
pub mod store;
pub mod system;
pub mod target;

pub use api::Api;
pub use file::FormatError;
