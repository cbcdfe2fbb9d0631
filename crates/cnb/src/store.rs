//! store.toml: what a buildpack remembers from build to build, whatever becomes of its layers
//! (buildpack specification, "store.toml (TOML)").

use crate::{FormatError, convert, file};
use serde::{Deserialize, Serialize};

/// The file's contents. JSON values inside, because the lifecycle's label holds the same; a date becomes its text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    pub metadata: serde_json::Value,
}

impl Store {
    /// Reads store.toml.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            metadata: toml::Table,
        }
        let raw: Raw = file::read(name, bytes)?;
        Ok(Self { metadata: convert::json_table(raw.metadata) })
    }

    /// Writes store.toml.
    pub fn write(&self, name: &str) -> Result<String, FormatError> {
        let mut table = toml::Table::new();
        table.insert("metadata".to_owned(), convert::toml_table(&self.metadata).into());
        file::write(name, &table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_as_written() {
        let store =
            Store::read("store.toml", b"[metadata]\nused = [\"3.13\"]\n[metadata.deep]\nx = 1\n").unwrap();
        assert_eq!(store.metadata["deep"]["x"], 1);
        assert_eq!(Store::read("store.toml", store.write("store.toml").unwrap().as_bytes()).unwrap(), store);
        assert_eq!(Store::read("store.toml", b"").unwrap().metadata, serde_json::json!({}));
    }
}
