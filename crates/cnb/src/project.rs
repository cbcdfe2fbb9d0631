//! project.toml, what buildpacks are told of a project (project descriptor extension, schema 0.2).
//! Keys of ours lie under `[_.metadata.windlass]` and are read by the crate `pipeline`.

use serde::{Deserialize, Serialize};

/// The file's contents as far as a build needs them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    #[serde(rename = "_")]
    pub about: About,
    pub io: Io,
}

/// The table `[_]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct About {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schema_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub metadata: toml::Table,
}

/// The table `[io]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Io {
    pub buildpacks: Buildpacks,
}

/// The table `[io.buildpacks]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Buildpacks {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub builder: String,
    /// Patterns in gitignore's grammar; together with `exclude` an error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<Module>,
    pub build: Build,
}

/// A buildpack by id and version, or by address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Module {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
}

/// The table `[io.buildpacks.build]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    /// Variables of the build: files of `<platform>/env`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
}

/// One variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[_]
schema-version = "0.2"
id = "wordcount"

[_.metadata.windlass]
schema = 1

[io.buildpacks]
exclude = ["tests/"]

[[io.buildpacks.group]]
id = "example/python"

[[io.buildpacks.build.env]]
name = "PIP_NO_BINARY"
value = "pillow"
"#;

    #[test]
    fn the_file_reads_back_as_written() {
        let project: Project = crate::file::read("project.toml", FILE.as_bytes()).unwrap();
        assert_eq!(project.io.buildpacks.build.env[0].name, "PIP_NO_BINARY");
        assert!(project.about.metadata.contains_key("windlass"));
        let text = crate::file::write("project.toml", &project).unwrap();
        assert_eq!(crate::file::read::<Project>("project.toml", text.as_bytes()).unwrap(), project);
    }
}
