//! The layers on top of the run image, one after another: reused where the build before had the same, else published.

use super::{
    CacheLayer, ExportError, LAYERS_DIRECTORY, LayerKind, LayerRow, Previous, Request, View,
    content::{FoundBuildpack, FoundLayer},
    view::shown,
};
use cnb::process::Process;
use layers::{LayerWriter, Owner, Published, Store, WriteError};
use model::DiffId;
use std::path::Path;

/// Where the launcher lies, in the builder and in the image.
pub(super) const LAUNCHER: &str = "/cnb/lifecycle/launcher";
/// Where each process type has its link (platform specification, "Launcher").
pub(super) const PROCESS_DIRECTORY: &str = "/cnb/process";
/// A launcher is a few megabytes; symbols of an unstripped one are many more.
const MAX_LAUNCHER_BYTES: u64 = 64 * 1024 * 1024;

/// What was made so far.
#[derive(Default)]
pub(super) struct Made {
    /// On top of the run image, bottom first, with the text that its history entry has.
    pub(super) layers: Vec<(LayerRow, String)>,
    pub(super) cache_layers: Vec<CacheLayer>,
}

impl Made {
    /// All of them as layers that builds see.
    pub(super) fn kept(self) -> Vec<CacheLayer> {
        let of_images =
            self.layers.into_iter().map(|(LayerRow { name, diff_id, blob, blob_bytes, reused, .. }, _)| {
                CacheLayer { name, diff_id, blob, blob_bytes, reused }
            });
        of_images.chain(self.cache_layers).collect()
    }
}

/// Makes layers in order.
pub(super) struct Exporter<'a> {
    request: &'a Request,
    /// Of the build before; empty when there was none.
    previous: Previous,
    view: &'a View,
    store: &'a Store,
    made: Made,
}

impl<'a> Exporter<'a> {
    pub(super) fn new(request: &'a Request, view: &'a View, store: &'a Store) -> Self {
        let previous = request.previous.clone().unwrap_or_default();
        Self { request, previous, view, store, made: Made::default() }
    }

    pub(super) fn finish(self) -> Made {
        self.made
    }

    fn owner(&self) -> Owner {
        Owner { user_id: self.request.user_id, group_id: self.request.group_id }
    }

    /// A layer of a buildpack, for the image or for the next build; `None` when it is for neither.
    pub(super) fn buildpack_layer(
        &mut self,
        buildpack: &FoundBuildpack,
        found: &FoundLayer,
    ) -> Result<Option<DiffId>, ExportError> {
        let (id, types) = (&buildpack.member.id, found.toml.types);
        if !types.launch && !types.cache {
            return Ok(None);
        }
        let name = format!("{id}:{}", found.name);
        let published = if found.has_contents {
            self.contents(id, found, &name)?
        } else {
            self.without_contents(id, found, &name)?
        };
        let diff_id = published.diff_id;
        if types.launch {
            let reused = self.previous.image.layer(id, &found.name).is_some_and(|old| old.sha == diff_id);
            let version = &buildpack.member.version;
            let history = format!("Layer: '{}', Created by buildpack: {id}@{version}", found.name);
            self.push(LayerKind::Buildpack, name, &published, reused, history);
        } else {
            let reused = self.previous.cache.layer(id, &found.name).is_some_and(|old| old.sha == diff_id);
            self.made.cache_layers.push(CacheLayer {
                name,
                diff_id,
                blob: published.blob_digest,
                blob_bytes: published.blob_bytes,
                reused,
            });
        }
        Ok(Some(diff_id))
    }

    /// A layer that lies in the tree. What the build did not write is the layer that was mounted there.
    fn contents(&self, id: &str, found: &FoundLayer, name: &str) -> Result<Published, ExportError> {
        let mounted = self.previous.cache.layer(id, &found.name).filter(|old| {
            self.previous.image.layer(id, &found.name).is_none_or(|in_image| in_image.sha == old.sha)
        });
        if let Some(mounted) = mounted
            && let Some(published) = self.store.published(&mounted.sha)?
            && self.view.is_untouched(&found.path, &self.store.tree(&mounted.sha)?)?
        {
            return Ok(published);
        }
        self.directory(name, &found.path)
    }

    /// A layer that its buildpack described and did not make: the one of the image before.
    fn without_contents(&self, id: &str, found: &FoundLayer, name: &str) -> Result<Published, ExportError> {
        let (layer, path) = (name.to_owned(), shown(&found.path));
        if found.toml.types.cache {
            return Err(ExportError::NoContents { layer, path });
        }
        let old = self.previous.image.layer(id, &found.name).map(|old| self.store.published(&old.sha));
        old.transpose()?.flatten().ok_or(ExportError::NothingToReuse { layer, path })
    }

    /// The app directory.
    pub(super) fn app(&mut self) -> Result<DiffId, ExportError> {
        let path = Path::new(&self.request.app_dir);
        if !self.view.is_directory(path)? {
            return Err(ExportError::Missing {
                path: shown(path),
                hint: "the build removed the app directory",
            });
        }
        let published = self.directory("app", path)?;
        let reused = self.previous.image.app.iter().any(|old| old.sha == published.diff_id);
        Ok(self.push(LayerKind::App, "app", &published, reused, "Application Layer"))
    }

    /// The launcher as the builder brought it.
    pub(super) fn launcher(&mut self) -> Result<DiffId, ExportError> {
        let content = self.view.merged.read_file(LAUNCHER, MAX_LAUNCHER_BYTES)?.ok_or_else(|| {
            ExportError::Missing { path: LAUNCHER.to_owned(), hint: "the builder has no launcher" }
        })?;
        let published = self.ensure("launcher", |layer| {
            layer.directory("/cnb", 0o755, Owner::ROOT)?;
            layer.directory("/cnb/lifecycle", 0o755, Owner::ROOT)?;
            layer.file(LAUNCHER, 0o755, Owner::ROOT, &content)
        })?;
        let reused = self.previous.image.launcher.is_some_and(|old| old.sha == published.diff_id);
        Ok(self.push(LayerKind::Launcher, "launcher", &published, reused, "Buildpacks Application Launcher"))
    }

    /// What the launcher reads: `<layers>/config`.
    pub(super) fn config(&mut self) -> Result<DiffId, ExportError> {
        let published = self.directory("config", &Path::new(LAYERS_DIRECTORY).join("config"))?;
        let reused = self.previous.image.config.is_some_and(|old| old.sha == published.diff_id);
        Ok(self.push(LayerKind::Config, "config", &published, reused, "Buildpacks Launcher Config"))
    }

    /// A link to the launcher for each process type; no layer when there is none.
    pub(super) fn process_types(&mut self, processes: &[Process]) -> Result<Option<DiffId>, ExportError> {
        if processes.is_empty() {
            return Ok(None);
        }
        let published = self.ensure("process types", |layer| {
            layer.directory("/cnb", 0o755, Owner::ROOT)?;
            layer.directory(PROCESS_DIRECTORY, 0o755, Owner::ROOT)?;
            for process in processes {
                layer.symlink(Path::new(PROCESS_DIRECTORY).join(&process.kind), LAUNCHER, Owner::ROOT)?;
            }
            Ok(())
        })?;
        let reused = self.previous.image.process_types.is_some_and(|old| old.sha == published.diff_id);
        let kind = LayerKind::ProcessTypes;
        Ok(Some(self.push(kind, "process types", &published, reused, "Buildpacks Process Types")))
    }

    fn directory(&self, name: &str, path: &Path) -> Result<Published, ExportError> {
        self.view.check_size(path)?;
        self.ensure(name, |layer| layer.tree(&self.view.merged, path, self.owner()))
    }

    /// The layer that `fill` writes. It is hashed first, because hashing costs a tenth of publishing and most layers
    /// are there already.
    fn ensure<F>(&self, name: &str, fill: F) -> Result<Published, ExportError>
    where
        F: Fn(&mut LayerWriter<'_>) -> Result<(), WriteError> + Sync,
    {
        let diff_id = layers::diff_id_of(&fill)
            .map_err(|source| ExportError::Write { name: shown(Path::new(name)), source })?;
        if let Some(published) = self.store.published(&diff_id)? {
            return Ok(published);
        }
        self.store
            .publish(&fill)
            .map_err(|source| ExportError::Publish { name: shown(Path::new(name)), source })
    }

    fn push(
        &mut self,
        kind: LayerKind,
        name: impl Into<String>,
        published: &Published,
        reused: bool,
        history: impl Into<String>,
    ) -> DiffId {
        let Published { diff_id, blob_digest: blob, blob_bytes, .. } = *published;
        let row = LayerRow { kind, name: name.into(), diff_id, blob, blob_bytes, reused };
        self.made.layers.push((row, history.into()));
        diff_id
    }
}
