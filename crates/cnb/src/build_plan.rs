//! The build plan that `bin/detect` writes: what a module provides and requires, with alternatives
//! (buildpack specification, "Build Plan (TOML)").

use crate::{FormatError, file};
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildPlan {
    #[serde(flatten)]
    pub first: Sections,
    /// Tried in order after the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub or: Vec<Sections>,
}

/// One alternative.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sections {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<Provide>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Require>,
}

/// The name of something that the module can provide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provide {
    pub name: String,
}

/// Something that the module needs from itself or an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Require {
    pub name: String,
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub metadata: toml::Table,
    // Buildpack API 0.2 had it here; who still writes it would be misunderstood.
    #[serde(skip_serializing)]
    version: Option<toml::Value>,
}

impl Require {
    pub fn new(name: &str, metadata: toml::Table) -> Self {
        Self { name: name.to_owned(), metadata, version: None }
    }
}

impl BuildPlan {
    /// Reads the plan that a module wrote.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let plan: Self = file::read(name, bytes)?;
        let all = || std::iter::once(&plan.first).chain(&plan.or);
        if let Some(require) = all().flat_map(|s| &s.requires).find(|r| r.version.is_some()) {
            let text =
                format!("the requirement `{}` has a key `version`: move it into its metadata", require.name);
            return Err(FormatError::rule(name, text));
        }
        let unnamed = |s: &Sections| {
            s.provides.iter().any(|p| p.name.is_empty()) || s.requires.iter().any(|r| r.name.is_empty())
        };
        if all().any(unnamed) {
            return Err(FormatError::rule(name, "an entry has no name"));
        }
        Ok(plan)
    }

    /// All alternatives, the first one first.
    pub fn alternatives(&self) -> impl Iterator<Item = &Sections> {
        std::iter::once(&self.first).chain(&self.or)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[[provides]]
name = "python"

[[requires]]
name = "python"

[requires.metadata]
version = "3.13"

[[or]]

[[or.requires]]
name = "node"
"#;

    #[test]
    fn the_file_reads_back_as_written() {
        let plan = BuildPlan::read("plan", FILE.as_bytes()).unwrap();
        assert_eq!(plan.alternatives().count(), 2);
        assert_eq!(plan.or[0].requires[0].name, "node");
        assert_eq!(BuildPlan::read("plan", file::write("plan", &plan).unwrap().as_bytes()).unwrap(), plan);
        assert_eq!(BuildPlan::read("plan", b"").unwrap(), BuildPlan::default());
    }

    #[test]
    fn a_version_outside_the_metadata_is_refused() {
        let error = BuildPlan::read("plan", b"[[requires]]\nname = 'x'\nversion = '1'").unwrap_err();
        assert!(error.to_string().contains("move it into its metadata"), "{error}");
        assert!(BuildPlan::read("plan", b"[[or]]\n[[or.provides]]\nname = ''").is_err());
    }
}
