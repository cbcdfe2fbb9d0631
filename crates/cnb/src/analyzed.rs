//! analyzed.toml: what is known of the previous image and the run image (platform specification,
//! "analyzed.toml (TOML)").

use crate::target::ImageTarget;
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Analyzed {
    /// The previous image, absent when there is none.
    #[serde(alias = "previous-image", skip_serializing_if = "Option::is_none")]
    pub image: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_image: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_image: Option<RunImage>,
    /// The previous image's label. Kept as it stands: only restorer and exporter of a foreign platform read it.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub metadata: toml::Table,
}

/// An image by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reference {
    pub reference: String,
}

/// The run image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunImage {
    /// By digest.
    pub reference: String,
    /// The name that the platform or an extension gave.
    pub image: String,
    /// Whether extensions change it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub extend: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<ImageTarget>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[image]
reference = "registry.example/app@sha256:00"

[run-image]
reference = "registry.example/run@sha256:11"
image = "registry.example/run:13"

[run-image.target]
os = "linux"
arch = "amd64"

[run-image.target.distro]
name = "debian"
version = "13"

[metadata.config]
sha = "sha256:22"
"#;

    #[test]
    fn the_file_reads_back_as_written() {
        let analyzed: Analyzed = crate::file::read("analyzed.toml", FILE.as_bytes()).unwrap();
        assert_eq!(analyzed.run_image.clone().unwrap().target.unwrap().arch, "amd64");
        assert_eq!(crate::file::write("analyzed.toml", &analyzed).unwrap(), FILE);
    }
}
