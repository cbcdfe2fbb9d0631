//! build.toml: which entries of its plan a buildpack did not provide (buildpack specification, "build.toml (TOML)").

use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<Unmet>,
}

/// An entry by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unmet {
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_as_written() {
        let build: Build = crate::file::read("build.toml", b"[[unmet]]\nname = \"python\"\n").unwrap();
        assert_eq!(crate::file::write("build.toml", &build).unwrap(), "[[unmet]]\nname = \"python\"\n");
    }
}
