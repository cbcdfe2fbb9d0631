//! buildpack.toml: what a buildpack is (buildpack specification, "buildpack.toml (TOML)").

use crate::{Api, FormatError, file, id, order::OrderGroup, target::Target};
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    pub api: Api,
    pub buildpack: Info,
    /// Of a composite buildpack only: what it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<OrderGroup>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// Deprecated since Buildpack API 0.10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<Stack>,
    /// The buildpack's own.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub metadata: toml::Table,
}

/// The table `[buildpack]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Info {
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// The user's variables do not reach its build.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clear_env: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sbom_formats: Vec<String>,
    /// Execution environments for which it counts; none named: all (Buildpack API 0.12).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_env: Vec<ExecEnv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
}

/// An execution environment: a table in the specification, a text in the reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExecEnv {
    Text(String),
    Table { name: String },
}

/// A licence by its SPDX expression or address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct License {
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
}

/// A stack: `*`, or `io.buildpacks.stacks.bionic`, which means Ubuntu 18.04.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stack {
    pub id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mixins: Vec<String>,
}

impl Descriptor {
    /// Reads a buildpack.toml.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let descriptor: Self = file::read(name, bytes)?;
        id::check_buildpack(name, &descriptor.buildpack.id)?;
        id::check_version(name, &descriptor.buildpack.version)?;
        Ok(descriptor)
    }

    /// Whether it counts in an execution environment.
    pub fn is_for(&self, exec_env: &str) -> bool {
        let named = &self.buildpack.exec_env;
        let name = |e: &ExecEnv| match e {
            ExecEnv::Text(name) | ExecEnv::Table { name } => name == "*" || name == exec_env,
        };
        named.is_empty() || named.iter().any(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"api = "0.10"

[buildpack]
id = "example/python"
name = "Python"
version = "0.1.0"
clear-env = true
sbom-formats = ["application/spdx+json"]

[[buildpack.licenses]]
type = "Apache-2.0"

[[targets]]
os = "linux"
arch = "amd64"

[metadata]
answer = 42
"#;

    #[test]
    fn the_file_reads_back_as_written() {
        let descriptor = Descriptor::read("buildpack.toml", FILE.as_bytes()).unwrap();
        assert_eq!(descriptor.targets[0].arch, "amd64");
        assert_eq!(file::write("buildpack.toml", &descriptor).unwrap(), FILE);
    }

    #[test]
    fn execution_environments_are_read_in_both_shapes() {
        for shape in ["exec-env = ['test']", "[[buildpack.exec-env]]\nname = 'test'"] {
            let text = format!("api = '0.12'\n[buildpack]\nid = 'x'\nversion = '1'\n{shape}");
            let descriptor = Descriptor::read("buildpack.toml", text.as_bytes()).unwrap();
            assert!(descriptor.is_for("test") && !descriptor.is_for("production"));
        }
    }

    #[test]
    fn an_id_that_would_leave_its_directory_is_refused() {
        let error = Descriptor::read("buildpack.toml", b"api='0.10'\n[buildpack]\nid='../x'\nversion='1'")
            .unwrap_err();
        assert!(error.to_string().contains("is not a buildpack id"), "{error}");
    }
}
