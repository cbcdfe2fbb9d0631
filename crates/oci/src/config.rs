//! Image configurations (OCI image specification, config.md).

use model::DiffId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an image is made of and how it is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// RFC 3339; buildpack images carry 1980-01-01T00:00:01Z so that equal inputs give equal digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// As Go names it: `amd64`.
    pub architecture: String,
    pub os: String,
    #[serde(default)]
    pub config: Execution,
    pub rootfs: RootFs,
    /// One entry for each layer, and those that made none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// How a container of the image is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// `user[:group]`, names or numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `NAME=value`, in order.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub env: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub cmd: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Sorted by name. Other tools write `null` where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn none_or_empty(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

/// The layers of an image by what they unpack to, bottom layer first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// Where a layer came from, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The value of an environment variable of the image; the last one counts.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.config.env.iter().flatten().rev().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// Sets a label.
    pub fn set_label(&mut self, name: &str, value: impl Into<String>) {
        self.config.labels.get_or_insert_default().insert(name.to_owned(), value.into());
    }

    /// Sets an environment variable: in its place when the image has it, else at the end.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let env = self.config.env.get_or_insert_default();
        match env.iter_mut().find(|old| old.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))) {
            Some(old) => *old = pair,
            None => env.push(pair),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker and Go's tools write it: keys we do not know, `null` for empty lists and maps.
    const FOREIGN: &str = r#"{"architecture":"amd64","variant":"v1","os":"linux","container":"x",
        "config":{"User":"1000","Env":["A=1","AB=2","A=3"],"Cmd":null,"Labels":null,"OnBuild":null,"Volumes":{"/v":{}}},
        "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x","empty_layer":true}]}"#;

    #[test]
    fn a_configuration_written_by_another_tool_is_read() {
        let config: ImageConfig = serde_json::from_str(FOREIGN).unwrap();
        assert_eq!(config.env("A"), Some("3"));
        assert_eq!(config.env("B"), None);
        assert_eq!(config.label("any"), None);
        assert!(config.history[0].empty_layer);
    }

    #[test]
    fn equal_configurations_have_equal_bytes_whatever_the_order_of_their_making() {
        let mut one: ImageConfig = serde_json::from_str(FOREIGN).unwrap();
        let mut other = one.clone();
        for (name, value) in [("b", "2"), ("a", "1")] {
            one.set_label(name, value);
        }
        for (name, value) in [("a", "1"), ("b", "2")] {
            other.set_label(name, value);
        }
        let bytes = crate::canonical_json(&one).unwrap();
        assert_eq!(bytes, crate::canonical_json(&other).unwrap());
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"architecture":"amd64","os":"linux","config":{"User":"1000","Env":["A=1","AB=2","A=3"],"Labels":{"a":"1","b":"2"}},"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x","empty_layer":true}]}"#
        );
    }

    #[test]
    fn setting_a_variable_again_keeps_its_place() {
        let mut config = ImageConfig::default();
        config.set_env("PATH", "/bin");
        config.set_env("LANG", "C");
        config.set_env("PATH", "/cnb/process:/bin");
        assert_eq!(config.config.env.unwrap(), ["PATH=/cnb/process:/bin", "LANG=C"]);
    }
}
