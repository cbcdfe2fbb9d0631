//! A process of an image as metadata.toml has it (platform specification, "metadata.toml (TOML)").

use serde::{Deserialize, Serialize};

/// What starts under one process type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Process {
    #[serde(rename = "type")]
    pub kind: String,
    /// The program and arguments that always stay; never empty.
    pub command: Vec<String>,
    /// Arguments that a user's own replace.
    pub args: Vec<String>,
    /// False: run by a shell, with profile scripts (Buildpack API before 0.9 only).
    pub direct: bool,
    /// The buildpack that defined it.
    pub buildpack_id: String,
    /// Absolute, or relative to the app directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Execution environments in which it may start; none named: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_env: Vec<String>,
}

impl Process {
    /// Whether it may start in an execution environment (Platform API 0.15).
    pub fn is_for(&self, exec_env: &str) -> bool {
        self.exec_env.is_empty() || self.exec_env.iter().any(|e| e == "*" || e == exec_env)
    }
}

/// Adds what a later buildpack defined: the same type again takes the place of the earlier one.
pub fn merge(into: &mut Vec<Process>, later: Vec<Process>) {
    for process in later {
        into.retain(|earlier| earlier.kind != process.kind);
        into.push(process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_process_of_the_same_type_wins() {
        let process = |kind: &str, by: &str| Process {
            kind: kind.into(),
            buildpack_id: by.into(),
            ..Process::default()
        };
        let mut all = vec![process("web", "a"), process("worker", "a")];
        merge(&mut all, vec![process("web", "b")]);
        let seen: Vec<_> = all.iter().map(|p| (p.kind.as_str(), p.buildpack_id.as_str())).collect();
        assert_eq!(seen, [("worker", "a"), ("web", "b")]);
    }

    #[test]
    fn a_process_for_tests_only_does_not_start_in_production() {
        let only = |names: &[&str]| Process {
            exec_env: names.iter().map(|n| (*n).to_owned()).collect(),
            ..Process::default()
        };
        assert!(only(&[]).is_for("production") && only(&["*"]).is_for("production"));
        assert!(!only(&["test"]).is_for("production"));
    }
}
