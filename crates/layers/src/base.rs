//! Brings the base images that `stacks/make-base.sh` made into the store.

use crate::{
    image::{Image, ImageError},
    limits::UnpackLimits,
    store::{Published, Store, StoreError},
    unpack::UnpackError,
};
use model::DiffId;
use oci::{Execution, History, ImageConfig};
use serde::{Deserialize, Serialize};
use std::{fs::File, io, path::Path};
use thiserror::Error;

/// The two images that every build and every tool stands on. The build image begins with the run image's layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImages {
    pub run: Image,
    pub build: Image,
}

/// The base images could not be brought in.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("cannot read `{path}`; make the base images with stacks/make-base.sh")]
    Read { path: String, source: io::Error },
    #[error("`{path}` is no description of an image by stacks/make-base.sh")]
    Recipe { path: String, source: serde_json::Error },
    #[error("`{path}` names the layer `{file}`, which is not a plain file name")]
    FileName { path: String, file: String },
    #[error("`{file}` has the digest {found}, not {stated}; make the base images again")]
    Changed { file: String, stated: DiffId, found: DiffId },
    #[error("cannot unpack `{file}`")]
    Unpack { file: String, source: UnpackError },
    #[error("cannot write the image")]
    Image(#[from] ImageError),
    #[error("cannot read the layer store")]
    Store(#[from] StoreError),
}

/// `run.json` and `build.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    /// Bottom layer first.
    layers: Vec<RecipeLayer>,
    /// RFC 3339.
    created: String,
    config: Execution,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecipeLayer {
    file: String,
    diff_id: DiffId,
}

/// Publishes both images from the directory that `stacks/make-base.sh` filled. Layers that are in the store already
/// are not read again, so that this may be done at every start.
pub fn import(store: &Store, directory: &Path) -> Result<BaseImages, ImportError> {
    Ok(BaseImages {
        run: import_one(store, directory, "run")?,
        build: import_one(store, directory, "build")?,
    })
}

fn import_one(store: &Store, directory: &Path, name: &str) -> Result<Image, ImportError> {
    let path = directory.join(format!("{name}.json"));
    let shown = || path.display().to_string();
    let bytes = std::fs::read(&path).map_err(|source| ImportError::Read { path: shown(), source })?;
    let recipe: Recipe =
        serde_json::from_slice(&bytes).map_err(|source| ImportError::Recipe { path: shown(), source })?;
    let mut layers = Vec::new();
    for layer in &recipe.layers {
        if Path::new(&layer.file).file_name() != Some(layer.file.as_ref()) {
            return Err(ImportError::FileName { path: shown(), file: layer.file.clone() });
        }
        layers.push(import_layer(store, &directory.join(&layer.file), layer.diff_id)?);
    }
    let history = recipe
        .layers
        .iter()
        .map(|layer| History {
            created: Some(recipe.created.clone()),
            created_by: format!("stacks/make-base.sh {}", layer.file),
            ..History::default()
        })
        .collect();
    let config = ImageConfig {
        created: Some(recipe.created),
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        config: recipe.config,
        history,
        ..ImageConfig::default()
    };
    Ok(store.write_image(config, &layers)?)
}

fn import_layer(store: &Store, path: &Path, stated: DiffId) -> Result<Published, ImportError> {
    if let Some(published) = store.published(&stated)? {
        return Ok(published);
    }
    let file = path.display().to_string();
    let tar = File::open(path).map_err(|source| ImportError::Read { path: file.clone(), source })?;
    let published = store
        .unpack_layer(tar, UnpackLimits::LAYER)
        .map_err(|source| ImportError::Unpack { file: file.clone(), source })?;
    if published.diff_id != stated {
        return Err(ImportError::Changed { file, stated, found: published.diff_id });
    }
    Ok(published)
}
