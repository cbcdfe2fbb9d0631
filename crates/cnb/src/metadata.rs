//! `<layers>/config/metadata.toml`: what the builder tells exporter and launcher (platform specification,
//! "metadata.toml (TOML)").

use crate::{
    group::Member,
    launch::{Label, Slice},
    process::Process,
};
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Metadata {
    /// The last default that a buildpack set and no later one took back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buildpack_default_process_type: Option<String>,
    pub buildpacks: Vec<Member>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Member>,
    /// Not in the specification; the reference hands labels to its exporter this way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<Process>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"buildpack-default-process-type = "web"

[[buildpacks]]
id = "example/x"
version = "1.2.3"
api = "0.10"

[[labels]]
key = "k"
value = "v"

[[processes]]
type = "web"
command = ["bin/server"]
args = []
direct = true
buildpack-id = "example/x"
working-dir = "/workspace/sub"

[[slices]]
paths = ["static/*"]
"#;

    #[test]
    fn the_file_reads_back_as_written() {
        let metadata: Metadata = crate::file::read("metadata.toml", FILE.as_bytes()).unwrap();
        assert_eq!(metadata.processes[0].working_dir.as_deref(), Some("/workspace/sub"));
        assert_eq!(crate::file::write("metadata.toml", &metadata).unwrap(), FILE);
    }
}
