//! What a build finds from the build before: layers as mounts, their metadata as small files.

use crate::export::Previous;
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
