//! Reads a source tree's own words (Procfile, project.toml, service.template, Python's files) into a plan. Pure:
//! the caller brings the bytes. The buildpacks read the same files with the same rules, so that the plan line and
//! the build never disagree. Start with [`plan()`].

pub mod default_server;
mod environment;
mod plan;
mod planner;
pub mod procfile;
mod project;
pub mod python;
mod quantity;
mod service_template;
mod source;
pub mod testing;
mod text;

pub use plan::{Command, Health, Plan, PythonChoice, Web};
pub use planner::{plan, python_choice};
pub use source::{KNOWN_FILES, MAX_FILE_BYTES, SourceFiles, is_known};
pub use testing::Tests;
pub use text::shown;

/// A line of a buildpack that starts with this sums up what it did: the push shows those lines, the log all.
pub const SUMMARY_PREFIX: &str = "=> ";
/// A line of a buildpack that starts with this tells why the build failed: the push shows those lines.
pub const PROBLEM_PREFIX: &str = "!! ";
