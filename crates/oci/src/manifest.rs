//! Descriptors and image manifests (OCI image specification, descriptor.md and manifest.md).

use crate::media_type;
use model::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names one blob: what it is, its digest and its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    #[serde(rename = "mediaType")]
    pub media_type: String,
    pub digest: Digest,
    /// Length of the blob in bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size_bytes: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size: size_bytes, annotations: BTreeMap::new() }
    }
}

/// One image: its configuration and its layers, bottom layer first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    #[serde(rename = "schemaVersion")]
    pub schema_version: u32,
    #[serde(rename = "mediaType", default = "manifest_type")]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn manifest_type() -> String {
    media_type::MANIFEST.to_owned()
}

impl ImageManifest {
    /// The manifest of an image whose configuration and layers are these.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: manifest_type(), config, layers, annotations: BTreeMap::new() }
    }
}
