//! project-metadata.toml: where the source came from (platform specification, "project-metadata.toml (TOML)").

use serde::{Deserialize, Serialize};

/// The source of a build. The same keys in TOML and in the label's JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// One source, in terms of its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// `git`, `image`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// What identifies the version: for git the commit.
    pub version: serde_json::Map<String, serde_json::Value>,
    /// What else is known: for git the refs.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl ProjectMetadata {
    /// A commit of a git repository, found under one ref, with the keys that `pack` writes.
    pub fn git(commit: &str, reference: &str) -> Self {
        let entry = |key: &str, value: serde_json::Value| [(key.to_owned(), value)].into_iter().collect();
        Self {
            source: Some(Source {
                kind: "git".to_owned(),
                version: entry("commit", commit.into()),
                metadata: entry("refs", vec![reference].into()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_as_written() {
        let project = ProjectMetadata::git("3f2a9c1", "main");
        let text = crate::file::write("project-metadata.toml", &project).unwrap();
        assert_eq!(
            crate::file::read::<ProjectMetadata>("project-metadata.toml", text.as_bytes()).unwrap(),
            project
        );
    }
}
