//! order.toml: the groups of buildpacks that detection tries (platform specification, "order.toml (TOML)").

use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct OrderFile {
    pub order: Vec<OrderGroup>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order_extensions: Vec<OrderGroup>,
}

/// One group: buildpacks that build together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderGroup {
    pub group: Vec<OrderElement>,
}

/// One buildpack of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct OrderElement {
    pub id: String,
    /// Empty only in project descriptors; a builder names versions.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The group passes without it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Execution environments for which it counts; none named: all (Platform API 0.15).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_env: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[[order]]

[[order.group]]
id = "example/python"
version = "1"

[[order.group]]
id = "example/procfile"
version = "1"
optional = true
"#;

    #[test]
    fn the_file_reads_back_as_written() {
        let order: OrderFile = crate::file::read("order.toml", FILE.as_bytes()).unwrap();
        assert!(order.order[0].group[1].optional);
        let text = crate::file::write("order.toml", &order).unwrap();
        assert_eq!(crate::file::read::<OrderFile>("order.toml", text.as_bytes()).unwrap(), order);
    }
}
