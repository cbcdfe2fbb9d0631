//! report.toml: what the exporter made (platform specification, "report.toml (TOML)").

use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    pub image: Image,
}

/// The image that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Image {
    pub tags: Vec<String>,
    /// Of the manifest, when it went to a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it went to a daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// In bytes; a number, as the reference writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_as_written() {
        let text =
            "[image]\ntags = [\"registry.example/app:v1\"]\ndigest = \"sha256:00\"\nmanifest-size = 1234\n";
        let report: Report = crate::file::read("report.toml", text.as_bytes()).unwrap();
        assert_eq!(crate::file::write("report.toml", &report).unwrap(), text);
    }
}
