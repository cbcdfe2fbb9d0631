//! build.toml and launch.toml, which a buildpack leaves beside its layers.

use super::{BuildError, label};
use crate::{buildpack::Buildpack, inputs::read_if_there};
use cnb::{
    build::Build, buildpack_plan::BuildpackPlan, file, group::Member, launch::Launch, metadata::Metadata,
    process,
};
use std::path::Path;

/// The entries that the buildpack leaves to later ones; each must have been asked of it
/// (buildpack specification, "Unmet Buildpack Plan Entries").
pub(super) fn unmet(
    buildpack: &Buildpack,
    layers_dir: &Path,
    asked: &BuildpackPlan,
) -> Result<Vec<String>, BuildError> {
    let Some(bytes) = read_if_there(&layers_dir.join("build.toml"))? else { return Ok(Vec::new()) };
    let name = buildpack.name();
    let build: Build = file::read(&format!("{name}: build.toml"), &bytes)?;
    let names: Vec<String> = build.unmet.into_iter().map(|unmet| unmet.name).collect();
    match names.iter().find(|name| !asked.entries.iter().any(|entry| entry.name == **name)) {
        Some(stranger) => Err(BuildError::Unmet { name, entry: stranger.clone() }),
        None => Ok(names),
    }
}

/// Adds processes, labels and slices. A process defined again replaces the earlier one, and takes the default from it
/// unless it is marked as default itself (buildpack specification, "launch.toml (TOML)").
pub(super) fn add_launch(
    metadata: &mut Metadata,
    member: &Member,
    layers_dir: &Path,
) -> Result<(), BuildError> {
    let Some(bytes) = read_if_there(&layers_dir.join("launch.toml"))? else { return Ok(()) };
    let launch = Launch::read(&label(member, "launch.toml"), &bytes, member.api, &member.id)?;
    let default = &mut metadata.buildpack_default_process_type;
    if launch.processes.iter().any(|process| Some(&process.kind) == default.as_ref()) {
        *default = None;
    }
    if launch.default_process.is_some() {
        *default = launch.default_process;
    }
    process::merge(&mut metadata.processes, launch.processes);
    metadata.labels.extend(launch.labels);
    metadata.slices.extend(launch.slices);
    Ok(())
}
