//! Provides `python`: the Python of the base image under that name, and what every Python process should be told.
//! Which version an application asks for is read with the planner's own rules.

use libcnb::{
    Buildpack, Error,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::{
        build_plan::{BuildPlan, BuildPlanBuilder},
        layer_name,
    },
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
    layer::{CachedLayerDefinition, InvalidMetadataAction, LayerState, RestoredLayerAction},
    layer_env::{LayerEnv, ModificationBehavior, Scope},
};
use pipeline::PythonChoice;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Changes when the layer's content does, so that an older one is made again.
const LAYER_FORMAT: &str = "1";

struct PythonBuildpack;

/// What the layer was made for. No numbers: the reference lifecycle gives a whole number back as a fraction.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct LayerMetadata {
    format: String,
    version: String,
}

#[derive(Debug, Error)]
enum PythonError {
    #[error(transparent)]
    Read(#[from] buildpack_kit::ReadError),
    #[error(transparent)]
    Problem(#[from] model::Problem),
    #[error("detection passed, but the application asks for no Python")]
    NotAsked,
    #[error("the build image has no `{}`", .0.display())]
    Missing(PathBuf),
    #[error("cannot write the layer")]
    Layer(#[source] io::Error),
}

impl Buildpack for PythonBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = PythonError;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, PythonError> {
        match choice(&context.app_dir) {
            Ok(None) => DetectResultBuilder::fail().build(),
            // A version that is not here is told by the build, where people look for it.
            Ok(Some(_)) | Err(PythonError::Problem(_)) => {
                DetectResultBuilder::pass().build_plan(build_plan()).build()
            }
            Err(error) => Err(error.into()),
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, PythonError> {
        let choice = choice(&context.app_dir)?.ok_or(PythonError::NotAsked)?;
        let interpreter = PathBuf::from(format!("/usr/bin/python{}", choice.version));
        if !interpreter.is_file() {
            return Err(PythonError::Missing(interpreter).into());
        }
        let wanted = LayerMetadata { format: LAYER_FORMAT.to_owned(), version: choice.version.clone() };
        let layer = context.cached_layer(
            layer_name!("python"),
            CachedLayerDefinition {
                build: true,
                launch: true,
                invalid_metadata_action: &|_: &GenericMetadata| InvalidMetadataAction::DeleteLayer,
                restored_layer_action: &|old: &LayerMetadata, _: &Path| {
                    if *old == wanted {
                        RestoredLayerAction::KeepLayer
                    } else {
                        RestoredLayerAction::DeleteLayer
                    }
                },
            },
        )?;
        match layer.state {
            LayerState::Restored { .. } => {
                buildpack_kit::summary(&format!("python {} reused", choice.version));
            }
            LayerState::Empty { .. } => {
                link(&layer.path(), &interpreter).map_err(PythonError::Layer)?;
                layer.write_env(environment())?;
                layer.write_metadata(&wanted)?;
                buildpack_kit::summary(&format!("python {} ({})", choice.version, choice.reason));
            }
        }
        BuildResultBuilder::new().build()
    }

    fn on_error(&self, error: Error<PythonError>) {
        match error {
            Error::BuildpackError(PythonError::Problem(problem)) => buildpack_kit::tell(&problem),
            Error::BuildpackError(error) => buildpack_kit::tell_cause("the python buildpack failed", &error),
            error => buildpack_kit::tell_cause("the python buildpack failed", &error),
        }
    }
}

impl From<PythonError> for Error<PythonError> {
    fn from(error: PythonError) -> Self {
        Self::BuildpackError(error)
    }
}

fn choice(app_dir: &Path) -> Result<Option<PythonChoice>, PythonError> {
    Ok(pipeline::python_choice(&buildpack_kit::read_source(app_dir)?)?)
}

/// It requires what it provides: an application of the standard library alone needs no other pack.
fn build_plan() -> BuildPlan {
    BuildPlanBuilder::new().provides("python").requires("python").build()
}

/// `python` and `python3` in the layer's `bin`, which the lifecycle puts into PATH.
fn link(layer: &Path, interpreter: &Path) -> io::Result<()> {
    let bin = layer.join("bin");
    fs::create_dir_all(&bin)?;
    symlink(interpreter, bin.join("python"))?;
    symlink(interpreter, bin.join("python3"))
}

/// Log lines appear when they are written; the router in front is trusted for the scheme and the client's address.
/// A tool's own setting wins over each.
fn environment() -> LayerEnv {
    [("PYTHONUNBUFFERED", "1"), ("FORWARDED_ALLOW_IPS", "*")].into_iter().fold(
        LayerEnv::new(),
        |environment, (name, value)| {
            environment.chainable_insert(Scope::Launch, ModificationBehavior::Default, name, value)
        },
    )
}

buildpack_main!(PythonBuildpack);

#[cfg(test)]
mod tests {
    use super::*;
    use libcnb::Env;

    #[test]
    fn the_version_is_chosen_from_the_applications_files() {
        let app = tempfile::tempdir().unwrap();
        assert_eq!(choice(app.path()).unwrap(), None);
        fs::write(app.path().join("service.template"), "type: python3.11\n").unwrap();
        assert_eq!(choice(app.path()).unwrap().unwrap().reason, "nearest to python3.11 of service.template");
        fs::write(app.path().join(".python-version"), "3.13\n").unwrap();
        assert_eq!(choice(app.path()).unwrap().unwrap().reason, "from .python-version");
        fs::write(app.path().join(".python-version"), "3.1\n").unwrap();
        assert!(matches!(choice(app.path()), Err(PythonError::Problem(_))));
    }

    #[test]
    fn the_layer_gives_python_under_both_names_and_lets_the_tool_overrule_its_settings() {
        let layer = tempfile::tempdir().unwrap();
        link(layer.path(), Path::new("/usr/bin/python3")).unwrap();
        let answer =
            std::process::Command::new(layer.path().join("bin/python")).args(["-c", "print(6*7)"]).output();
        assert_eq!(answer.unwrap().stdout, b"42\n");

        let mut env = Env::new();
        env.insert("FORWARDED_ALLOW_IPS", "10.0.0.1");
        let env = environment().apply(Scope::Launch, &env);
        assert_eq!(env.get("FORWARDED_ALLOW_IPS").unwrap(), "10.0.0.1");
        assert_eq!(env.get("PYTHONUNBUFFERED").unwrap(), "1");
    }
}
