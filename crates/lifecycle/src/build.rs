//! The build: each buildpack of the group in turn, with what the earlier ones put into the environment
//! (buildpack specification, "Build"; platform specification, "Builder").

mod layers;
mod output;

use crate::{
    buildpack::{Buildpack, BuildpackError},
    detect::ended,
    environment::{EnvironmentError, Variables},
    inputs::{InputError, Inputs, read_if_there},
};
use cnb::{
    FormatError,
    buildpack_plan::BuildpackPlan,
    file,
    group::{Group, Member},
    id::escape,
    metadata::Metadata,
    plan::Plan,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The build did not end well.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The buildpack has said why, on its own output.
    #[error("buildpack {name} {ended}")]
    Buildpack { name: String, ended: String },
    #[error("cannot start {path}")]
    Start {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not there: detection did not run")]
    NotDetected(PathBuf),
    #[error("{name}: build.toml names `{entry}` as unmet, which nobody asked it for")]
    Unmet { name: String, entry: String },
    #[error("cannot {what} {path}")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Load(#[from] BuildpackError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl BuildError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { what, path: path.to_owned(), source }
    }
}

/// Runs the buildpacks that detection chose and writes `<layers>/config/metadata.toml`. Gives that, and what the layers
/// put into the environment of what comes after.
pub fn run(inputs: &Inputs) -> Result<(Metadata, Variables), BuildError> {
    let group: Group = read(&inputs.group_path)?;
    let mut plan: Plan = read(&inputs.plan_path)?;
    let mut variables = inputs.environment.clone();
    let mut metadata = Metadata { buildpacks: group.group.clone(), ..Metadata::default() };
    for member in &group.group {
        let buildpack = Buildpack::load(&inputs.buildpacks_dir, &member.id, &member.version)?;
        let layers_dir = inputs.layers_dir.join(escape(&member.id));
        fs::create_dir_all(&layers_dir).map_err(BuildError::file("make", &layers_dir))?;
        let asked = BuildpackPlan { entries: plan.for_buildpack(&member.id) };
        build(inputs, &buildpack, &layers_dir, &asked, &variables)?;
        layers::add(&mut variables, &layers_dir)?;
        let unmet = output::unmet(&buildpack, &layers_dir, &asked)?;
        plan = plan.after(&member.id, &unmet);
        output::add_launch(&mut metadata, member, &layers_dir)?;
    }
    let config = inputs.layers_dir.join("config");
    fs::create_dir_all(&config).map_err(BuildError::file("make", &config))?;
    let path = config.join("metadata.toml");
    let text = file::write("metadata.toml", &metadata)?;
    fs::write(&path, text).map_err(BuildError::file("write", &path))?;
    Ok((metadata, variables))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, BuildError> {
    let bytes = read_if_there(path)?.ok_or_else(|| BuildError::NotDetected(path.to_owned()))?;
    Ok(file::read(&path.display().to_string(), &bytes)?)
}

/// Runs `bin/build`. What it prints goes straight to whoever reads the build.
fn build(
    inputs: &Inputs,
    buildpack: &Buildpack,
    layers_dir: &Path,
    asked: &BuildpackPlan,
    variables: &Variables,
) -> Result<(), BuildError> {
    let scratch = tempfile::tempdir().map_err(BuildError::file("write to", &std::env::temp_dir()))?;
    let plan_path = scratch.path().join("plan.toml");
    let text = file::write("the buildpack plan", asked)?;
    fs::write(&plan_path, text).map_err(BuildError::file("write", &plan_path))?;
    let mut command = buildpack.command("build", inputs, variables)?;
    command
        .env("CNB_LAYERS_DIR", layers_dir)
        .env("CNB_BP_PLAN_PATH", &plan_path)
        .arg(layers_dir)
        .arg(&inputs.platform_dir)
        .arg(&plan_path);
    let status = command
        .status()
        .map_err(|source| BuildError::Start { path: buildpack.directory.join("bin/build"), source })?;
    if status.success() {
        return Ok(());
    }
    Err(BuildError::Buildpack { name: buildpack.name(), ended: ended(status) })
}

/// For people and errors: `windlass/pip: build.toml`.
fn label(member: &Member, name: &str) -> String {
    format!("{}: {name}", member.id)
}
