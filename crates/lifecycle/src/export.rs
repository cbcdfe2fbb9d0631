//! Export: what a build left in its tree becomes an image of layers in the layer store.
//!
//! [`run`] reads the tree as a stranger's, decides for each layer whether the build before had it already
//! ([`layer`]), and writes the image's documents ([`image`]). The order of layers and their bytes are those of the
//! reference lifecycle, so that equal inputs have equal diffIDs wherever they were built.

mod content;
mod image;
mod layer;
mod report;
mod request;
mod view;

pub use report::{CacheLayer, KeptLayers, LayerKind, LayerRow, ProcessRow, Report};
pub use request::{BaseImage, BaseLayer, Previous, Request};
pub use view::View;

use cnb::label::lifecycle::{BuildpackLayers, CacheMetadata, LayerMetadata, LifecycleMetadata, Sha};
use content::{Content, FoundLayer};
use layer::Exporter;
use layers::{ImageError, PublishError, Store, StoreError, TreeError, WriteError};
use model::DiffId;
use thiserror::Error;

/// Where buildpacks leave layers, in the build and in the image (`CNB_LAYERS_DIR`).
pub(crate) const LAYERS_DIRECTORY: &str = "/layers";
/// Most layers that an export puts on top of a run image; kernels and container engines end at about 128 and 500.
const MAX_LAYERS: usize = 100;

/// An image could not be made of what the build left.
#[derive(Debug, Error)]
pub enum ExportError {
    #[error("cannot read what the build left")]
    Tree(#[from] TreeError),
    #[error("the build left a file that cannot be used")]
    Format(#[from] cnb::FormatError),
    #[error("`{path}` is missing: {hint}")]
    Missing { path: String, hint: &'static str },
    #[error("`{path}` is {found}, but must be a real directory")]
    NotADirectory { path: String, found: &'static str },
    #[error("`{path}` is not a layer's name: use UTF-8 without control characters")]
    LayerName { path: String },
    #[error("{what}: there are {found}, at most {max} are possible")]
    TooMany { what: String, found: usize, max: usize },
    #[error(
        "`{path}` holds more than {max_bytes} bytes or {max_entries} files, which is too much for one layer"
    )]
    TooLarge { path: String, max_bytes: u64, max_entries: u64 },
    #[error("layer `{layer}` is marked `cache = true` but has no contents; its buildpack must make `{path}`")]
    NoContents { layer: String, path: String },
    #[error(
        "layer `{layer}` has no contents and the image before has no such layer to reuse; its buildpack must make `{path}`"
    )]
    NothingToReuse { layer: String, path: String },
    #[error("`{kind}` is not a process type or is there twice; write the file with the lifecycle's builder")]
    Process { kind: String },
    #[error("the default process `{kind}` is none of this image's processes ({known})")]
    NoSuchProcess { kind: String, known: String },
    #[error("the run image is inconsistent: {0}")]
    RunImage(String),
    #[error("the image's labels have {found_bytes} bytes, at most {max_bytes} are possible")]
    Labels { found_bytes: usize, max_bytes: usize },
    #[error("cannot make the layer {name}")]
    Write { name: String, source: WriteError },
    #[error("cannot publish the layer {name}")]
    Publish { name: String, source: PublishError },
    #[error("the layer store failed")]
    Store(#[from] StoreError),
    #[error("cannot write the image")]
    Image(#[from] ImageError),
    #[error("cannot write a label")]
    Json(#[from] serde_json::Error),
}

/// Makes the image. Nothing but the layer store is written; an export that fails leaves layers without a name for
/// the garbage collector at most.
pub fn run(request: &Request, view: &View, store: &Store) -> Result<Report, ExportError> {
    let content = Content::read(view)?;
    let default_process = content.default_process(request.default_process.as_deref())?;
    let mut exporter = Exporter::new(request, view, store);

    let mut metadata = LifecycleMetadata::default();
    let mut cache = CacheMetadata::default();
    for buildpack in &content.buildpacks {
        let key = &buildpack.member.id;
        let entry = || BuildpackLayers {
            key: key.clone(),
            version: buildpack.member.version.clone(),
            ..BuildpackLayers::default()
        };
        let (mut launch, mut cached) = (entry(), entry());
        launch.store.clone_from(&buildpack.store);
        for found in &buildpack.layers {
            let Some(diff_id) = exporter.buildpack_layer(buildpack, found)? else { continue };
            let known = layer_metadata(found, diff_id);
            if found.toml.types.cache {
                cached.layers.insert(found.name.clone(), known.clone());
            }
            if found.toml.types.launch {
                launch.layers.insert(found.name.clone(), known);
            }
        }
        metadata.buildpacks.push(launch);
        if !cached.layers.is_empty() {
            cache.buildpacks.push(cached);
        }
    }
    metadata.app = vec![Sha { sha: exporter.app()? }];
    metadata.launcher = Some(Sha { sha: exporter.launcher()? });
    metadata.config = Some(Sha { sha: exporter.config()? });
    metadata.process_types = exporter.process_types(&content.metadata.processes)?.map(|sha| Sha { sha });

    let made = exporter.finish();
    image::write(request, store, &content, &made, metadata, default_process.as_deref()).map(
        |(written, image)| written.report(request, made, content, default_process, Previous { image, cache }),
    )
}

/// Publishes the layers that the next build can use, and makes no image.
pub fn keep_layers(request: &Request, view: &View, store: &Store) -> Result<KeptLayers, ExportError> {
    let content = Content::read(view)?;
    let mut exporter = Exporter::new(request, view, store);
    let mut next = CacheMetadata::default();
    for buildpack in &content.buildpacks {
        let (key, version) = (buildpack.member.id.clone(), buildpack.member.version.clone());
        let mut kept = BuildpackLayers { key, version, ..BuildpackLayers::default() };
        for found in buildpack.layers.iter().filter(|found| found.toml.types.cache) {
            if let Some(diff_id) = exporter.buildpack_layer(buildpack, found)? {
                kept.layers.insert(found.name.clone(), layer_metadata(found, diff_id));
            }
        }
        if !kept.layers.is_empty() {
            next.buildpacks.push(kept);
        }
    }
    Ok(KeptLayers { layers: exporter.finish().kept(), next })
}

fn layer_metadata(found: &FoundLayer, sha: DiffId) -> LayerMetadata {
    let types = found.toml.types;
    LayerMetadata {
        sha,
        data: found.toml.data(),
        build: types.build,
        launch: types.launch,
        cache: types.cache,
    }
}
