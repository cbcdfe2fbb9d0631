//! group.toml: the buildpacks that detection chose (platform specification, "group.toml (TOML)").

use crate::Api;
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Group {
    pub group: Vec<Member>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_extensions: Vec<Member>,
}

/// One module of the group, in the order in which it builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: String,
    pub version: String,
    pub api: Api,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub homepage: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[[group]]\nid = \"example/python\"\nversion = \"1.2.3\"\napi = \"0.10\"\n";

    #[test]
    fn the_file_reads_back_as_written() {
        let group: Group = crate::file::read("group.toml", FILE.as_bytes()).unwrap();
        assert_eq!(group.group[0].api, Api::new(0, 10));
        assert_eq!(crate::file::write("group.toml", &group).unwrap(), FILE);
    }
}
