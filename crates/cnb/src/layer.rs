//! `<layer>.toml`: what a layer is for, and what the buildpack wants to know of it next time
//! (buildpack specification, "Layer Content Metadata (TOML)").

use crate::{FormatError, convert, file};
use serde::{Deserialize, Serialize};

/// Names in a buildpack's layers directory that are never a layer's.
pub const RESERVED: [&str; 3] = ["launch", "build", "store"];

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    pub types: Types,
    /// `None` when the file has no `[metadata]`: the label then says null, as the reference does.
    pub metadata: Option<toml::Table>,
}

/// Who gets to see a layer. All false: nobody, the layer is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Types {
    /// The image.
    pub launch: bool,
    /// Later buildpacks of the same build.
    pub build: bool,
    /// The next build.
    pub cache: bool,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    types: Option<Types>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<toml::Table>,
    // These were once at the top; buildpacks that still write them there mean something we would silently not do.
    #[serde(default, skip_serializing)]
    launch: Option<toml::Value>,
    #[serde(default, skip_serializing)]
    build: Option<toml::Value>,
    #[serde(default, skip_serializing)]
    cache: Option<toml::Value>,
}

impl Layer {
    /// Reads `<layer>.toml`.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let raw: Raw = file::read(name, bytes)?;
        if raw.launch.is_some() || raw.build.is_some() || raw.cache.is_some() {
            return Err(FormatError::rule(
                name,
                "`launch`, `build` and `cache` belong into the table [types], not to the top of the file",
            ));
        }
        Ok(Self { types: raw.types.unwrap_or_default(), metadata: raw.metadata })
    }

    /// Writes `<layer>.toml` as it is restored: without `[types]`, so that a layer that the buildpack does not claim
    /// again is ignored (platform specification, "Layer Metadata Restoration").
    pub fn restored(name: &str, data: &serde_json::Value) -> Result<String, FormatError> {
        let metadata = (!data.is_null()).then(|| convert::toml_table(data));
        file::write(name, &Raw { types: None, metadata, launch: None, build: None, cache: None })
    }

    /// Writes `<layer>.toml` whole.
    pub fn write(&self, name: &str) -> Result<String, FormatError> {
        let raw = Raw {
            types: Some(self.types),
            metadata: self.metadata.clone(),
            launch: None,
            build: None,
            cache: None,
        };
        file::write(name, &raw)
    }

    /// The metadata as the label has it.
    pub fn data(&self) -> serde_json::Value {
        self.metadata.clone().map_or(serde_json::Value::Null, convert::json_table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "[types]\nlaunch = true\nbuild = false\ncache = true\n\n[metadata]\nversion = \"3.13\"\n";

    #[test]
    fn the_file_reads_back_as_written() {
        let layer = Layer::read("venv.toml", FILE.as_bytes()).unwrap();
        assert_eq!(layer.types, Types { launch: true, build: false, cache: true });
        assert_eq!(layer.write("venv.toml").unwrap(), FILE);
        assert_eq!(layer.data(), serde_json::json!({"version": "3.13"}));
    }

    #[test]
    fn a_restored_file_has_its_metadata_and_no_types() {
        let restored = Layer::restored("x", &serde_json::json!({"version": "3.13"})).unwrap();
        assert_eq!(restored, "[metadata]\nversion = \"3.13\"\n");
        assert_eq!(Layer::read("x", restored.as_bytes()).unwrap().types, Types::default());
        assert_eq!(Layer::restored("x", &serde_json::Value::Null).unwrap(), "");
    }

    #[test]
    fn types_at_the_top_are_refused_and_unknown_keys_are_not() {
        let error = Layer::read("venv.toml", b"launch = true").unwrap_err().to_string();
        assert!(error.contains("[types]"), "{error}");
        Layer::read("venv.toml", b"future = 1").unwrap();
        assert!(Layer::read("venv.toml", b"").unwrap().metadata.is_none());
    }
}
