//! What a build left beside its files: metadata.toml, the layers of each buildpack, what each wants to remember.

use super::{ExportError, LAYERS_DIRECTORY, MAX_LAYERS, View, view::shown};
use cnb::{file, group::Member, id, layer, metadata::Metadata, store::Store};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Longest TOML file of a build that is read.
const MAX_TOML_BYTES: u64 = 1024 * 1024;
/// Most entries of one buildpack's layers directory that are looked at, buildpacks and processes of one build.
const MAX_ENTRIES: usize = 10_000;
const MAX_BUILDPACKS: usize = 100;
const MAX_PROCESSES: usize = 100;

/// Everything that decides about layers and image.
pub(super) struct Content {
    pub(super) metadata: Metadata,
    /// In the order in which they built.
    pub(super) buildpacks: Vec<FoundBuildpack>,
}

/// One buildpack and what it left.
pub(super) struct FoundBuildpack {
    pub(super) member: Member,
    /// Sorted by name.
    pub(super) layers: Vec<FoundLayer>,
    pub(super) store: Option<Store>,
}

/// One layer that its buildpack described.
pub(super) struct FoundLayer {
    pub(super) name: String,
    /// Where its contents lie or would lie.
    pub(super) path: PathBuf,
    pub(super) has_contents: bool,
    pub(super) toml: layer::Layer,
}

impl Content {
    pub(super) fn read(view: &View) -> Result<Self, ExportError> {
        let path = Path::new(LAYERS_DIRECTORY).join("config/metadata.toml");
        let bytes = view.merged.read_file(&path, MAX_TOML_BYTES)?.ok_or_else(|| ExportError::Missing {
            path: shown(&path),
            hint: "the build did not come to its end",
        })?;
        let name = shown(&path);
        let metadata: Metadata = file::read(&name, &bytes)?;
        check(&name, &metadata)?;
        let mut buildpacks = Vec::new();
        for member in &metadata.buildpacks {
            buildpacks.push(FoundBuildpack::read(view, member)?);
        }
        let found = buildpacks.iter().map(|buildpack| buildpack.layers.len()).sum();
        at_most("the layers of all buildpacks".to_owned(), found, MAX_LAYERS)?;
        Ok(Self { metadata, buildpacks })
    }

    /// The process that starts by default: the one asked for, else the one that a buildpack marked, else `web`,
    /// else the only one.
    pub(super) fn default_process(&self, asked: Option<&str>) -> Result<Option<String>, ExportError> {
        let kinds: Vec<&str> = self.metadata.processes.iter().map(|process| process.kind.as_str()).collect();
        if let Some(kind) = asked.or(self.metadata.buildpack_default_process_type.as_deref()) {
            if kinds.contains(&kind) {
                return Ok(Some(kind.to_owned()));
            }
            let known = if kinds.is_empty() { "it has none".to_owned() } else { kinds.join(", ") };
            return Err(ExportError::NoSuchProcess { kind: shown(Path::new(kind)), known });
        }
        Ok(match kinds.as_slice() {
            [only] => Some((*only).to_owned()),
            _ => kinds.contains(&"web").then(|| "web".to_owned()),
        })
    }
}

impl FoundBuildpack {
    fn read(view: &View, member: &Member) -> Result<Self, ExportError> {
        let directory = Path::new(LAYERS_DIRECTORY).join(id::escape(&member.id));
        let mut found = Self { member: member.clone(), layers: Vec::new(), store: None };
        if !view.is_directory(&directory)? {
            return Ok(found);
        }
        let entries = view.merged.list(&directory)?;
        at_most(format!("the entries of `{}`", shown(&directory)), entries.len(), MAX_ENTRIES)?;
        for entry in entries {
            let Some(stem) = entry.as_encoded_bytes().strip_suffix(b".toml") else { continue };
            let path = directory.join(&entry);
            let name = std::str::from_utf8(stem)
                .ok()
                .filter(|name| !name.is_empty() && !name.contains(char::is_control))
                .ok_or_else(|| ExportError::LayerName { path: shown(&path) })?;
            if name != "store" && layer::RESERVED.contains(&name) {
                continue;
            }
            let Some(bytes) = view.merged.read_file(&path, MAX_TOML_BYTES)? else { continue };
            if name == "store" {
                found.store = Some(Store::read(&shown(&path), &bytes)?);
                continue;
            }
            let toml = layer::Layer::read(&shown(&path), &bytes)?;
            let contents = directory.join(name);
            let has_contents = view.is_directory(&contents)?;
            found.layers.push(FoundLayer { name: name.to_owned(), path: contents, has_contents, toml });
        }
        // As the reference sorts: by the name of the layer, not of its file.
        found.layers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }
}

/// The file comes out of a stranger's sandbox: names in it become paths and arguments.
fn check(name: &str, metadata: &Metadata) -> Result<(), ExportError> {
    at_most("the buildpacks of the build".to_owned(), metadata.buildpacks.len(), MAX_BUILDPACKS)?;
    at_most("the processes of the image".to_owned(), metadata.processes.len(), MAX_PROCESSES)?;
    for member in &metadata.buildpacks {
        id::check_buildpack(name, &member.id)?;
        id::check_version(name, &member.version)?;
    }
    let mut kinds = BTreeSet::new();
    for process in &metadata.processes {
        if !id::is_process_type(&process.kind) || !kinds.insert(&process.kind) {
            return Err(ExportError::Process { kind: shown(Path::new(&process.kind)) });
        }
    }
    Ok(())
}

fn at_most(what: String, found: usize, max: usize) -> Result<(), ExportError> {
    if found > max { Err(ExportError::TooMany { what, found, max }) } else { Ok(()) }
}
