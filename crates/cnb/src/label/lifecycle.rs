//! `io.buildpacks.lifecycle.metadata` of an image, and the same shape for what is cached beside it
//! (platform specification, "io.buildpacks.lifecycle.metadata"; the cache's file of the reference lifecycle).

use crate::store::Store;
use model::DiffId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which layers an application image has on top of its run image.
///
/// `process-types`, `store` and `stack` are not in the specification; the reference lifecycle writes them and reuses
/// layers by them, so a mixed fleet needs them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct LifecycleMetadata {
    pub app: Vec<Sha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Sha>,
    pub buildpacks: Vec<BuildpackLayers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Sha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launcher: Option<Sha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_types: Option<Sha>,
    #[serde(rename = "runImage", skip_serializing_if = "Option::is_none")]
    pub run_image: Option<RunImage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
}

/// The layers that were cached for the next build, launch layers among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheMetadata {
    pub buildpacks: Vec<BuildpackLayers>,
}

/// One layer by its diffID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sha {
    pub sha: DiffId,
}

/// The layers of one buildpack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildpackLayers {
    /// The buildpack's id, unescaped.
    pub key: String,
    pub version: String,
    /// By the name of the layer.
    pub layers: BTreeMap<String, LayerMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
}

/// One layer of a buildpack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerMetadata {
    pub sha: DiffId,
    /// The `[metadata]` of `<layer>.toml`; null when it has none.
    #[serde(default)]
    pub data: serde_json::Value,
    #[serde(default)]
    pub build: bool,
    #[serde(default)]
    pub launch: bool,
    #[serde(default)]
    pub cache: bool,
}

/// The run image below.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunImage {
    /// The diffID of its last layer: a rebase replaces all up to here.
    pub top_layer: String,
    /// By digest.
    pub reference: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
}

/// Deprecated since platform API 0.12; still written by the reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stack {
    pub run_image: StackRunImage,
}

/// The names under which a run image is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackRunImage {
    pub image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
}

impl LifecycleMetadata {
    /// What the previous image knew of one layer.
    pub fn layer(&self, buildpack: &str, layer: &str) -> Option<&LayerMetadata> {
        find(&self.buildpacks, buildpack, layer)
    }
}

impl CacheMetadata {
    /// What the cache knows of one layer.
    pub fn layer(&self, buildpack: &str, layer: &str) -> Option<&LayerMetadata> {
        find(&self.buildpacks, buildpack, layer)
    }
}

fn find<'a>(buildpacks: &'a [BuildpackLayers], id: &str, layer: &str) -> Option<&'a LayerMetadata> {
    buildpacks.iter().find(|b| b.key == id)?.layers.get(layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_label_reads_back_as_the_reference_writes_it() {
        let sha = format!("sha256:{}", "ab".repeat(32));
        let label = json!({
            "app": [{"sha": sha}], "sbom": {"sha": sha},
            "buildpacks": [{"key": "example/runtime", "version": "1.0.0",
                "layers": {"jre": {"sha": sha, "data": {"k": "v"}, "build": false, "launch": true, "cache": true}},
                "store": {"metadata": {"k": "v"}}}],
            "config": {"sha": sha}, "launcher": {"sha": sha}, "process-types": {"sha": sha},
            "runImage": {"topLayer": sha, "reference": "reg/run@x", "image": "reg/run:tag", "mirrors": ["m1"]},
            "stack": {"runImage": {"image": "reg/run:tag", "mirrors": ["m1"]}},
        });
        let read: LifecycleMetadata = serde_json::from_value(label.clone()).unwrap();
        assert_eq!(read.layer("example/runtime", "jre").unwrap().data, json!({"k": "v"}));
        assert!(read.layer("example/runtime", "jdk").is_none());
        assert_eq!(serde_json::to_value(&read).unwrap(), label);
    }

    #[test]
    fn keys_that_are_missing_or_unknown_do_no_harm() {
        let read: LifecycleMetadata = serde_json::from_value(json!({"future": 1, "app": []})).unwrap();
        assert_eq!(read, LifecycleMetadata::default());
    }
}
