//! What the export worker is asked to do.

use cnb::{
    label::lifecycle::{CacheMetadata, LifecycleMetadata},
    project_metadata::ProjectMetadata,
};
use model::{DiffId, Digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One export. The tree to read is not named here: it is the worker's `/view`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Only what the next build can use: no image is made.
    #[serde(default)]
    pub layers_only: bool,
    /// The image that the app's layers go on top of.
    pub run_image: BaseImage,
    /// [`Report::next`](super::Report::next) of the build before, when there was one and its layers are still there.
    pub previous: Option<Previous>,
    /// Where the source lies in the view, and what the image has as working directory: `/workspace`.
    pub app_dir: String,
    /// Owner of app and buildpack layers inside the image.
    pub user_id: u32,
    pub group_id: u32,
    /// The process that starts by default; `None`: the one that a buildpack marked, else `web`, else the only one.
    pub default_process: Option<String>,
    /// Set in the image's config, after those of the run image and before the lifecycle's own `CNB_*`.
    pub env: Vec<(String, String)>,
    /// Set on the image before those of the buildpacks.
    pub labels: BTreeMap<String, String>,
    /// Where the source came from: label `io.buildpacks.project.metadata`.
    pub project: Option<ProjectMetadata>,
}

/// The run image of an export, as the layer store holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseImage {
    /// Its manifest's digest.
    pub digest: Digest,
    /// The name that a rebase looks for, for example `windlass/run:debian-13`.
    pub name: String,
    /// Its config blob, parsed (OCI image specification, config.md).
    pub config: serde_json::Value,
    /// Bottom layer first; as many as the config's `rootfs.diff_ids`.
    pub layers: Vec<BaseLayer>,
}

/// One layer of the run image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseLayer {
    pub diff_id: DiffId,
    pub blob: Digest,
    pub blob_bytes: u64,
}

/// What a later build of the same tool and branch reuses. Stored whole and handed back; nobody else looks inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// The label of the image that was built.
    pub image: LifecycleMetadata,
    /// The layers marked `cache = true`: those of the image and those that only builds see.
    pub cache: CacheMetadata,
}
