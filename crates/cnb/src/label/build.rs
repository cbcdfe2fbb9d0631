//! `io.buildpacks.build.metadata` (platform specification, "io.buildpacks.build.metadata").

use serde::{Deserialize, Serialize};

/// Which buildpacks made an image, and which processes it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildMetadata {
    pub buildpacks: Vec<Module>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Module>,
    pub launcher: Launcher,
    pub processes: Vec<LabelProcess>,
    #[serde(rename = "buildpack-default-process-type", skip_serializing_if = "Option::is_none")]
    pub default_process: Option<String>,
}

/// A buildpack or extension that took part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Module {
    pub id: String,
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub homepage: String,
}

/// The launcher inside the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Launcher {
    pub version: String,
    pub source: Source,
}

/// Where the launcher's source lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    pub git: Git,
}

/// A git repository at a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Git {
    pub repository: String,
    pub commit: String,
}

/// A process as this label writes it: other keys than metadata.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelProcess {
    #[serde(rename = "type")]
    pub kind: String,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub direct: bool,
    #[serde(rename = "buildpackID")]
    pub buildpack_id: String,
    #[serde(rename = "working-dir", skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    #[serde(rename = "exec-env", skip_serializing_if = "Vec::is_empty")]
    pub exec_env: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_label_reads_back_as_the_reference_writes_it() {
        let label = json!({
            "buildpacks": [{"id": "example/one", "version": "1.2.3", "homepage": "https://one.example"}],
            "launcher": {"version": "1.2.3", "source": {"git": {"repository": "git.example/x", "commit": "asdf1234"}}},
            "processes": [{"type": "web", "command": ["/some/command"], "args": ["some", "args"], "direct": true,
                "buildpackID": "example/one"}],
            "buildpack-default-process-type": "web",
        });
        let read: BuildMetadata = serde_json::from_value(label.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), label);
    }
}
