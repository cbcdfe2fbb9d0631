//! The labels of an application image, as JSON (platform specification, "Labels"). One label per file.

pub mod build;
pub mod lifecycle;
pub mod project;

/// `io.buildpacks.lifecycle.metadata`: which layer is which; what a rebuild reuses.
pub const LIFECYCLE_METADATA: &str = "io.buildpacks.lifecycle.metadata";
/// `io.buildpacks.build.metadata`: which buildpacks made the image and which processes it has.
pub const BUILD_METADATA: &str = "io.buildpacks.build.metadata";
/// `io.buildpacks.project.metadata`: where the source came from.
pub const PROJECT_METADATA: &str = "io.buildpacks.project.metadata";
