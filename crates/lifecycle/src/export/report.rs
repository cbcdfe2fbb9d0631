//! What the export worker answers.

use super::Previous;
use cnb::label::lifecycle::CacheMetadata;
use model::{DiffId, Digest};
use serde::{Deserialize, Serialize};

/// An image that lies complete in the layer store: config and manifest as blobs, layers as trees and blobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The image: the digest of its manifest.
    pub digest: Digest,
    pub manifest_bytes: u64,
    /// The digest of its config blob.
    pub config: Digest,
    pub config_bytes: u64,
    /// The image's layers on top of the run image, bottom first.
    pub layers: Vec<LayerRow>,
    /// Layers that the next build mounts and the image does not have.
    pub cache_layers: Vec<CacheLayer>,
    /// In the order in which they were defined.
    pub processes: Vec<ProcessRow>,
    /// The type that starts when nothing else is asked for.
    pub default_process: Option<String>,
    /// The buildpacks that took part, in order, as `id@version`.
    pub buildpacks: Vec<String>,
    /// Blob bytes of all layers, the run image's included.
    pub total_bytes: u64,
    /// Blob bytes of the image's layers that the build before did not have.
    pub new_bytes: u64,
    /// For the next [`Request::previous`](super::Request::previous) and for [`restore`](crate::restore).
    pub next: Previous,
}

/// What a build for tests leaves for the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptLayers {
    pub layers: Vec<CacheLayer>,
    /// To be stored whole and handed back.
    pub next: CacheMetadata,
}

/// One layer on top of the run image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRow {
    pub kind: LayerKind,
    /// For people: `example/pip:packages`, `app`, `launcher`.
    pub name: String,
    pub diff_id: DiffId,
    pub blob: Digest,
    pub blob_bytes: u64,
    /// The build before had the same layer.
    pub reused: bool,
}

/// What a layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// A launch layer of a buildpack.
    Buildpack,
    /// The source tree after the build, or one slice of it.
    App,
    Launcher,
    /// The launcher's metadata.
    Config,
    /// `/cnb/process/<type>`.
    ProcessTypes,
}

/// One layer that only builds see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheLayer {
    /// For people: `example/pip:cache`.
    pub name: String,
    pub diff_id: DiffId,
    pub blob: Digest,
    pub blob_bytes: u64,
    /// The build before had the same layer.
    pub reused: bool,
}

/// One process of the image. `/cnb/process/<kind>` starts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    pub kind: String,
    pub command: Vec<String>,
    pub args: Vec<String>,
    /// False: run by `bash -c` with profile scripts.
    pub direct: bool,
    pub working_dir: Option<String>,
    /// Id of the buildpack that defined it.
    pub buildpack: String,
}
