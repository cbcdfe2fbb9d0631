//! The buildpack plan (`CNB_BP_PLAN_PATH`): what one buildpack has to provide (buildpack specification,
//! "Buildpack Plan (TOML)").

use crate::build_plan::Require;
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildpackPlan {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Require>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_as_written() {
        let text = "[[entries]]\nname = \"python\"\n\n[entries.metadata]\nversion = \"3.13\"\n";
        let plan: BuildpackPlan = crate::file::read("plan.toml", text.as_bytes()).unwrap();
        assert_eq!(crate::file::write("plan.toml", &plan).unwrap(), text);
    }
}
