//! What a build finds from the build before: layers as mounts, their metadata as small files.

use crate::export::Previous;
use cnb::{
    id::escape,
    label::lifecycle::{BuildpackLayers, CacheMetadata, LayerMetadata},
    layer::Layer,
};
use model::DiffId;

/// A file of the scratch layer that lies on top of a build's layers, owned by the build's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Absolute path inside the sandbox.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    pub bytes: Vec<u8>,
}

/// The layers to mount below the scratch layer: each tree holds its contents at `/layers/<buildpack>/<layer>`.
/// Those marked `cache = true`, in a stable order (platform specification, "Restore": a layer of the image comes back
/// with contents only when image and cache agree about it).
pub fn mounted_layers(previous: &Previous) -> Vec<DiffId> {
    let cached = previous.cache.buildpacks.iter().flat_map(|buildpack| {
        buildpack.layers.iter().filter(|(name, layer)| {
            let agreed = previous.image.layer(&buildpack.key, name).is_none_or(|l| l.sha == layer.sha);
            layer.cache && agreed
        })
    });
    let mut ids: Vec<DiffId> = Vec::new();
    for (_, layer) in cached {
        if !ids.contains(&layer.sha) {
            ids.push(layer.sha);
        }
    }
    ids
}

/// `previous` with the layers of a build that came after it: where they differ from the image's, the newer ones come
/// back, and count as new in the next image. A layer whose metadata names another execution environment
/// (`exec-env = "test"`, which our buildpacks write) does not come back.
pub fn with_newer(previous: Option<Previous>, newer: &CacheMetadata, exec_env: &str) -> Previous {
    let mut merged = previous.unwrap_or_default();
    for buildpack in &newer.buildpacks {
        let mut buildpack = buildpack.clone();
        buildpack
            .layers
            .retain(|_, layer| layer.data["exec-env"].as_str().is_none_or(|only| only == exec_env));
        let in_image = merged.image.buildpacks.iter_mut().find(|other| other.key == buildpack.key);
        if let Some(in_image) = in_image {
            in_image
                .layers
                .retain(|name, layer| buildpack.layers.get(name).is_none_or(|newer| newer.sha == layer.sha));
        }
        match merged.cache.buildpacks.iter_mut().find(|other| other.key == buildpack.key) {
            Some(cached) => cached.layers.extend(buildpack.layers),
            None => merged.cache.buildpacks.push(buildpack),
        }
    }
    merged
}

/// The layers of buildpacks in the image before: an export takes over those that come back as their description alone.
pub fn named_layers(previous: &Previous) -> Vec<DiffId> {
    previous
        .image
        .buildpacks
        .iter()
        .flat_map(|buildpack| buildpack.layers.values().map(|layer| layer.sha))
        .collect()
}

/// `<layer>.toml` of the layers that come back, without `[types]`, and each buildpack's `store.toml`
/// (platform specification, "Layer Metadata Restoration", "Restore"; Platform API 0.14 on).
///
/// A layer of the image comes back as its description alone, a cached one with its contents, which
/// [`mounted_layers`] brings. One that is needed for a build and was not cached, or about which image and cache
/// disagree, does not come back at all: its buildpack makes it anew.
pub fn scratch_files(previous: &Previous) -> Vec<File> {
    let mut files = Vec::new();
    for buildpack in &previous.image.buildpacks {
        let directory = format!("/layers/{}", escape(&buildpack.key));
        if let Some(Ok(text)) = buildpack.store.as_ref().map(|store| store.write("store.toml")) {
            files.push(file(format!("{directory}/store.toml"), text));
        }
        for (name, layer) in &buildpack.layers {
            let cached =
                previous.cache.layer(&buildpack.key, name).is_some_and(|other| other.sha == layer.sha);
            if layer.launch && (if layer.cache { cached } else { !layer.build }) {
                files.extend(description(buildpack, name, layer));
            }
        }
    }
    for buildpack in &previous.cache.buildpacks {
        for (name, layer) in &buildpack.layers {
            if layer.cache && previous.image.layer(&buildpack.key, name).is_none() {
                files.extend(description(buildpack, name, layer));
            }
        }
    }
    files
}

/// What cannot be written is left out: without it the buildpack makes the layer anew.
fn description(buildpack: &BuildpackLayers, name: &str, layer: &LayerMetadata) -> Option<File> {
    let text = Layer::restored(name, &layer.data).ok()?;
    Some(file(format!("/layers/{}/{name}.toml", escape(&buildpack.key)), text))
}

fn file(path: String, text: String) -> File {
    File { path, mode: 0o644, bytes: text.into_bytes() }
}
