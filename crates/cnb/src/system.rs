//! system.toml: buildpacks that the builder adds to every group (platform specification, "system.toml (TOML)",
//! Platform API 0.15).

use crate::order::OrderElement;
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemFile {
    pub system: System,
}

/// What goes before and after each group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct System {
    pub pre: Buildpacks,
    pub post: Buildpacks,
}

/// Buildpacks in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Buildpacks {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buildpacks: Vec<OrderElement>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_as_written() {
        let text = "[[system.pre.buildpacks]]\nid = \"example/ca\"\nversion = \"1\"\n";
        let system: SystemFile = crate::file::read("system.toml", text.as_bytes()).unwrap();
        assert_eq!(system.system.pre.buildpacks[0].id, "example/ca");
        let written = crate::file::write("system.toml", &system).unwrap();
        assert_eq!(crate::file::read::<SystemFile>("system.toml", written.as_bytes()).unwrap(), system);
    }
}
