//! Reads a source tree's own words (Procfile, project.toml, service.template, Python's files) into a plan. Pure:
//! the caller brings the bytes. The buildpacks read the same files with the same rules, so that the plan line and
//! the build never disagree.

mod plan;
mod source;

pub use plan::{Command, Health, Plan, PythonChoice, Web};
pub use source::{KNOWN_FILES, MAX_FILE_BYTES, SourceFiles, is_known};
