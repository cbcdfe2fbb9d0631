//! Installs `requirements.txt` into a virtual environment, a layer of its own; for tests, what these need besides into
//! a second one ([`testing`]). As long as the requirements, the
//! Python and the base image are the same, the layer is used again and nothing runs. Other packs may ask for packages
//! too, by requiring `python-packages` with `install = ["gunicorn==…"]`.

mod failure;
mod install;
mod requirements;
mod testing;

use install::{InstallError, Installation, Wishes};
use libcnb::{
    Buildpack, Error,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::{
        build_plan::{BuildPlan, BuildPlanBuilder},
        buildpack_plan::BuildpackPlan,
        layer_name,
    },
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
    layer::{
        CachedLayerDefinition, InvalidMetadataAction, LayerState, RestoredLayerAction,
        UncachedLayerDefinition,
    },
    layer_env::{LayerEnv, ModificationBehavior, Scope},
};
use pipeline::python::requirements_path;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Changes when the environment is made in another way, so that an older one is made again.
const LAYER_FORMAT: &str = "1";

struct PipBuildpack;

/// What the environment was made from. No numbers: the reference lifecycle keeps metadata as JSON and gives a whole
/// number back as a fraction, which would be read as another format each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LayerMetadata {
    format: String,
    python: String,
    distribution: String,
    /// Hash over all requirements files; empty when they cannot be keyed, which is never used again.
    requirements: String,
    /// What other packs asked for, sorted.
    install: Vec<String>,
    /// Packages in the environment.
    packages: String,
}

impl LayerMetadata {
    /// Whether an environment made for `self` is what `wanted` would give.
    fn serves(&self, wanted: &Self) -> bool {
        !self.requirements.is_empty() && Self { packages: String::new(), ..self.clone() } == *wanted
    }
}

/// What a pack that requires `python-packages` may say.
#[derive(Debug, Default, Deserialize)]
struct PlanMetadata {
    #[serde(default)]
    install: Vec<String>,
}

#[derive(Debug, Error)]
enum PipError {
    #[error(transparent)]
    Source(#[from] buildpack_kit::ReadError),
    #[error(transparent)]
    Requirements(#[from] requirements::ReadError),
    #[error(transparent)]
    Problem(#[from] model::Problem),
    #[error("the build plan names no Python")]
    NoPython,
    #[error("another pack's `install` in the build plan is not a list of packages")]
    Plan,
    #[error(transparent)]
    Install(#[from] InstallError),
}

impl Buildpack for PipBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = PipError;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, PipError> {
        let source = buildpack_kit::read_source(&context.app_dir).map_err(PipError::from)?;
        let has_requirements = requirements_path(&source).is_some();
        if !has_requirements && pipeline::python_choice(&source).is_ok_and(|choice| choice.is_none()) {
            return DetectResultBuilder::fail().build();
        }
        let wanted = has_requirements
            || (testing::is_asked_for(&context.platform) && testing::Needs::of(&source).is_some());
        DetectResultBuilder::pass().build_plan(build_plan(wanted)).build()
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, PipError> {
        let source = buildpack_kit::read_source(&context.app_dir).map_err(PipError::from)?;
        let python = pipeline::python_choice(&source).map_err(PipError::from)?.ok_or(PipError::NoPython)?;
        let path = requirements_path(&source);
        let requirements = match path {
            Some(path) => {
                requirements::key(&context.app_dir, path).map_err(PipError::from)?.unwrap_or_default()
            }
            None => "none".to_owned(),
        };
        let mut wanted = LayerMetadata {
            format: LAYER_FORMAT.to_owned(),
            python: python.version.clone(),
            distribution: format!("{} {}", context.target.distro_name, context.target.distro_version),
            requirements,
            install: asked_for(&context.buildpack_plan)?,
            packages: String::new(),
        };
        // Kept as it is, whatever changes: pip checks what it takes from it.
        let cache = context.cached_layer(
            layer_name!("cache"),
            CachedLayerDefinition {
                build: false,
                launch: false,
                invalid_metadata_action: &|_| InvalidMetadataAction::DeleteLayer,
                restored_layer_action: &|_: &GenericMetadata, _: &Path| RestoredLayerAction::KeepLayer,
            },
        )?;
        let for_tests = testing::is_asked_for(&context.platform);
        let files: Vec<String> = path.map(str::to_owned).into_iter().collect();
        let interpreter = PathBuf::from(format!("/usr/bin/python{}", python.version));
        let below = if for_tests && wanted.requirements.is_empty() {
            // Made anew by each build, so not kept for the next.
            let layer = UncachedLayerDefinition { build: true, launch: true };
            let venv = context.uncached_layer(layer_name!("venv"), layer)?;
            let installation = Installation {
                app_dir: &context.app_dir,
                interpreter: &interpreter,
                venv: &venv.path(),
                cache: &cache.path(),
                below: None,
            };
            let wishes = Wishes { files: &files, missing: &wanted.install, ..Wishes::default() };
            installation.run(wishes).map_err(PipError::from)?;
            venv.write_env(environment(&venv.path()))?;
            venv.path()
        } else {
            let venv = context.cached_layer(
                layer_name!("venv"),
                CachedLayerDefinition {
                    build: true,
                    launch: true,
                    invalid_metadata_action: &|_| InvalidMetadataAction::DeleteLayer,
                    restored_layer_action: &|old: &LayerMetadata, _: &Path| {
                        let keep = old.serves(&wanted);
                        let action = if keep {
                            RestoredLayerAction::KeepLayer
                        } else {
                            RestoredLayerAction::DeleteLayer
                        };
                        (action, old.packages.clone())
                    },
                },
            )?;
            match &venv.state {
                LayerState::Restored { cause: packages } => {
                    buildpack_kit::summary(&format!("pip {} reused", counted(packages)));
                }
                LayerState::Empty { .. } => {
                    let installation = Installation {
                        app_dir: &context.app_dir,
                        interpreter: &interpreter,
                        venv: &venv.path(),
                        cache: &cache.path(),
                        below: None,
                    };
                    let wishes = Wishes { files: &files, missing: &wanted.install, ..Wishes::default() };
                    wanted.packages = installation.run(wishes).map_err(PipError::from)?.to_string();
                    venv.write_env(environment(&venv.path()))?;
                    buildpack_kit::summary(&format!("pip {} installed", counted(&wanted.packages)));
                    venv.write_metadata(wanted.clone())?;
                }
            }
            venv.path()
        };
        if for_tests && let Some(needs) = testing::Needs::of(&source) {
            testing::make(&context, &wanted, &needs, &interpreter, &below, &cache.path())?;
        }
        BuildResultBuilder::new().build()
    }

    fn on_error(&self, error: Error<PipError>) {
        match error {
            Error::BuildpackError(
                PipError::Problem(problem) | PipError::Install(InstallError::Pip(problem)),
            ) => buildpack_kit::tell(&problem),
            Error::BuildpackError(PipError::Requirements(error)) => buildpack_kit::tell(&error.problem()),
            Error::BuildpackError(error) => buildpack_kit::tell_cause("the pip buildpack failed", &error),
            error => buildpack_kit::tell_cause("the pip buildpack failed", &error),
        }
    }
}

impl From<PipError> for Error<PipError> {
    fn from(error: PipError) -> Self {
        Self::BuildpackError(error)
    }
}

/// Without requirements it only offers itself: the lifecycle drops it when no other pack asks for packages.
fn build_plan(has_requirements: bool) -> BuildPlan {
    let plan = BuildPlanBuilder::new().provides("python-packages").requires("python");
    if has_requirements { plan.requires("python-packages").build() } else { plan.build() }
}

/// What other packs asked for, sorted, each once.
fn asked_for(plan: &BuildpackPlan) -> Result<Vec<String>, PipError> {
    let mut packages = Vec::new();
    for entry in plan.entries.iter().filter(|entry| entry.name == "python-packages") {
        let metadata: PlanMetadata = entry.metadata().map_err(|_| PipError::Plan)?;
        packages.extend(metadata.install);
    }
    if packages.iter().any(|package| package.starts_with('-')) {
        return Err(PipError::Plan);
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// The lifecycle puts `bin` into PATH by itself; programs that start Python look at `VIRTUAL_ENV` too.
fn environment(venv: &Path) -> LayerEnv {
    LayerEnv::new().chainable_insert(Scope::All, ModificationBehavior::Override, "VIRTUAL_ENV", venv)
}

fn counted(packages: &str) -> String {
    if packages == "1" { "1 package".to_owned() } else { format!("{packages} packages") }
}

buildpack_main!(PipBuildpack);

#[cfg(test)]
mod tests {
    use super::*;
    use libcnb::data::buildpack_plan::Entry;

    fn made_from(requirements: &str, install: &[&str]) -> LayerMetadata {
        LayerMetadata {
            format: LAYER_FORMAT.to_owned(),
            python: "3.13".to_owned(),
            distribution: "debian 13".to_owned(),
            requirements: requirements.to_owned(),
            install: install.iter().map(|package| (*package).to_owned()).collect(),
            packages: String::new(),
        }
    }

    #[test]
    fn an_environment_is_used_again_only_for_the_very_same_wish() {
        let made = LayerMetadata { packages: "9".into(), ..made_from("abc", &["gunicorn==1"]) };
        assert!(made.serves(&made_from("abc", &["gunicorn==1"])));
        assert!(!made.serves(&made_from("abd", &["gunicorn==1"])));
        assert!(!made.serves(&made_from("abc", &[])));
        assert!(!made.serves(&LayerMetadata { python: "3.14".into(), ..made_from("abc", &["gunicorn==1"]) }));
        assert!(!made_from("", &[]).serves(&made_from("", &[])), "what has no key is made each time");
    }

    #[test]
    fn other_packs_may_ask_for_packages_but_not_pass_options() {
        let entry = |package: &str| {
            let metadata = toml::from_str(&format!("install = ['{package}']")).unwrap();
            Entry { name: "python-packages".to_owned(), metadata }
        };
        let plan = BuildpackPlan { entries: vec![entry("b"), entry("a==1"), entry("b")] };
        assert_eq!(asked_for(&plan).unwrap(), ["a==1", "b"]);
        assert!(asked_for(&BuildpackPlan { entries: vec![entry("--index-url=x")] }).is_err());
    }
}
