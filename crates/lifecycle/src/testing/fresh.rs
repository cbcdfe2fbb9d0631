//! Whether a build made layers that were not there before it.

use crate::inputs::Inputs;
use cnb::layer::Layer;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Layers by the path of their contents: their metadata, and the directory's inode when it is there.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Kept(BTreeMap<PathBuf, (serde_json::Value, Option<u64>, bool)>);

impl Kept {
    /// What lies in the layers directory now. What cannot be read is none: it is made anew.
    pub(crate) fn now(inputs: &Inputs) -> Self {
        let mut kept = BTreeMap::new();
        for directory in entries(&inputs.layers_dir) {
            for file in
                entries(&directory).into_iter().filter(|file| file.extension().is_some_and(|e| e == "toml"))
            {
                let Ok(bytes) = fs::read(&file) else { continue };
                let Ok(layer) = Layer::read(&file.display().to_string(), &bytes) else { continue };
                let contents = file.with_extension("");
                let inode = fs::metadata(&contents).ok().map(|metadata| metadata.ino());
                kept.insert(contents, (layer.data(), inode, layer.types.cache));
            }
        }
        Self(kept)
    }

    /// Whether there is a layer for the next build that was not there `before`, or was another.
    pub(crate) fn is_new(&self, before: &Self) -> bool {
        self.0.iter().filter(|(_, (.., cache))| *cache).any(|(path, (data, inode, _))| {
            !before.0.get(path).is_some_and(|(old, old_inode, _)| old == data && old_inode == inode)
        })
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
