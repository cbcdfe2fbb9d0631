//! plan.toml: who provides what, for whom (platform specification, "plan.toml (TOML)").

use crate::{FormatError, build_plan::Require, file};
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
}

/// One dependency: all that provide it, all that was asked of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    pub providers: Vec<Provider>,
    pub requires: Vec<Require>,
}

/// A module that provides a dependency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provider {
    pub id: String,
    pub version: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub extension: bool,
}

impl Plan {
    /// Writes plan.toml; a plan without entries is a file of no bytes, as the reference writes it.
    pub fn write(&self) -> Result<String, FormatError> {
        file::write("plan.toml", self)
    }

    /// What a buildpack has to provide: for its `CNB_BP_PLAN_PATH`.
    pub fn for_buildpack(&self, id: &str) -> Vec<Require> {
        let mine = self.entries.iter().filter(|e| e.providers.iter().any(|p| p.id == id && !p.extension));
        mine.flat_map(|entry| entry.requires.iter().cloned()).collect()
    }

    /// The plan for the buildpacks after `id`: what it provided is done, except what it named as unmet
    /// (buildpack specification, "Unmet Buildpack Plan Entries").
    #[must_use]
    pub fn after(self, id: &str, unmet: &[String]) -> Self {
        let entries = self.entries.into_iter().filter_map(|mut entry| {
            if !entry.providers.iter().any(|p| p.id == id && !p.extension) {
                return Some(entry);
            }
            if !entry.requires.iter().any(|r| unmet.contains(&r.name)) {
                return None;
            }
            entry.providers.retain(|p| p.id != id || p.extension);
            Some(entry)
        });
        Self { entries: entries.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[[entries]]

[[entries.providers]]
id = "example/python"
version = "1"

[[entries.providers]]
id = "example/other"
version = "1"

[[entries.requires]]
name = "python"

[entries.requires.metadata]
version = "3.13"
"#;

    #[test]
    fn the_file_reads_back_as_written_and_an_empty_plan_is_an_empty_file() {
        let plan: Plan = file::read("plan.toml", FILE.as_bytes()).unwrap();
        assert_eq!(file::read::<Plan>("plan.toml", plan.write().unwrap().as_bytes()).unwrap(), plan);
        assert_eq!(Plan::default().write().unwrap(), "");
    }

    #[test]
    fn what_one_provided_is_not_asked_of_the_next_unless_it_said_unmet() {
        let plan: Plan = file::read("plan.toml", FILE.as_bytes()).unwrap();
        assert_eq!(plan.for_buildpack("example/python")[0].name, "python");
        assert!(plan.clone().after("example/python", &[]).entries.is_empty());
        let left = plan.after("example/python", &["python".into()]);
        assert!(left.for_buildpack("example/python").is_empty());
        assert_eq!(left.for_buildpack("example/other").len(), 1);
    }
}
