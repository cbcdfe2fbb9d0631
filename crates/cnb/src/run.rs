//! run.toml: the run images of a builder and where else they are found (platform specification, "run.toml (TOML)").

use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    pub images: Vec<Image>,
}

/// One run image by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    pub image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_as_written() {
        let text = "[[images]]\nimage = \"registry.example/run:13\"\nmirrors = [\"mirror.example/run:13\"]\n";
        let run: Run = crate::file::read("run.toml", text.as_bytes()).unwrap();
        assert_eq!(crate::file::write("run.toml", &run).unwrap(), text);
    }
}
