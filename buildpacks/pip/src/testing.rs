//! What tests need besides production's packages: a second virtual environment on top of the first, in a layer that no
//! image gets. The first one stays what production has, so both kinds of build share it.

use crate::{
    LayerMetadata, PipBuildpack, PipError, counted, environment,
    install::{InstallError, Installation, Wishes},
    requirements,
};
use libcnb::{
    Platform,
    build::BuildContext,
    data::layer_name,
    generic::GenericPlatform,
    layer::{
        CachedLayerDefinition, InvalidMetadataAction, LayerState, RestoredLayerAction,
        UncachedLayerDefinition,
    },
};
use model::Problem;
use pipeline::{
    SourceFiles,
    testing::{PYTEST, TestPackages, packages, pytest_configuration},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The layer's name comes after `venv`, so that its programs are found first.
const EXEC_ENV: &str = "test";

/// What the tests of one source need.
pub(crate) struct Needs {
    packages: TestPackages,
    /// Installed when nothing else brings it.
    runner: Vec<String>,
}

impl Needs {
    /// `None`: nothing but what production has.
    pub(crate) fn of(source: &SourceFiles) -> Option<Self> {
        let runner: Vec<String> =
            pytest_configuration(source).map(|_| PYTEST.to_owned()).into_iter().collect();
        match packages(source) {
            Some(packages) => Some(Self { packages, runner }),
            None if runner.is_empty() => None,
            None => Some(Self { packages: TestPackages::default(), runner }),
        }
    }
}

/// What the environment was made from. The platform gives a layer whose metadata names another execution environment
/// to no other build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TestMetadata {
    #[serde(rename = "exec-env")]
    exec_env: String,
    /// The environment below.
    below: LayerMetadata,
    /// Hash over all requirements files; empty when they cannot be keyed, which is never used again.
    requirements: String,
    install: Vec<String>,
    installed: String,
}

impl TestMetadata {
    fn serves(&self, wanted: &Self) -> bool {
        !self.requirements.is_empty() && Self { installed: String::new(), ..self.clone() } == *wanted
    }
}

/// Whether the build is for tests. A pack of Buildpack API 0.10 hears of it by the platform's variables.
pub(crate) fn is_asked_for(platform: &GenericPlatform) -> bool {
    platform.env().get("CNB_EXEC_ENV").is_some_and(|value| value == EXEC_ENV)
}

/// Makes the layer, or uses it again.
pub(crate) fn make(
    context: &BuildContext<PipBuildpack>,
    production: &LayerMetadata,
    needs: &Needs,
    interpreter: &Path,
    below: &Path,
    cache: &Path,
) -> libcnb::Result<(), PipError> {
    let mut requirements = Some(production.requirements.clone()).filter(|key| !key.is_empty());
    for file in &needs.packages.files {
        let key = requirements::key(&context.app_dir, file).map_err(PipError::from)?;
        requirements = requirements.zip(key).map(|(one, other)| format!("{one} {other}"));
    }
    let mut wanted = TestMetadata {
        exec_env: EXEC_ENV.to_owned(),
        below: LayerMetadata { packages: String::new(), ..production.clone() },
        requirements: requirements.unwrap_or_default(),
        install: needs.packages.packages.iter().chain(&needs.runner).cloned().collect(),
        installed: String::new(),
    };
    let install = |venv: &Path| {
        let installation =
            Installation { app_dir: &context.app_dir, interpreter, venv, cache, below: Some(below) };
        let wishes = Wishes {
            files: &needs.packages.files,
            packages: &needs.packages.packages,
            missing: &needs.runner,
        };
        let installed = installation.run(wishes).map_err(|error| named(error, &needs.packages.from))?;
        buildpack_kit::summary(&format!("for tests {} installed", counted(&installed.to_string())));
        Ok::<_, PipError>(installed)
    };
    if wanted.requirements.is_empty() {
        let layer = UncachedLayerDefinition { build: true, launch: false };
        let venv = context.uncached_layer(layer_name!("venv-test"), layer)?;
        install(&venv.path())?;
        return venv.write_env(environment(&venv.path()));
    }
    let venv = context.cached_layer(
        layer_name!("venv-test"),
        CachedLayerDefinition {
            build: true,
            launch: false,
            invalid_metadata_action: &|_| InvalidMetadataAction::DeleteLayer,
            restored_layer_action: &|old: &TestMetadata, _: &Path| {
                if old.serves(&wanted) {
                    (RestoredLayerAction::KeepLayer, old.installed.clone())
                } else {
                    (RestoredLayerAction::DeleteLayer, String::new())
                }
            },
        },
    )?;
    match venv.state {
        LayerState::Restored { cause: installed } => {
            buildpack_kit::summary(&format!("for tests {} reused", counted(&installed)));
        }
        LayerState::Empty { .. } => {
            wanted.installed = install(&venv.path())?.to_string();
            venv.write_env(environment(&venv.path()))?;
            venv.write_metadata(wanted)?;
        }
    }
    Ok(())
}

/// pip's failure with the file that asks for these packages.
fn named(error: InstallError, file: &str) -> PipError {
    let InstallError::Pip(problem) = error else { return error.into() };
    let file = if file.is_empty() { "the platform" } else { file };
    let say = |text: &str| text.replace("requirements.txt", file);
    let hint = problem.hint.as_deref().map(say);
    let told = Problem { title: say(&problem.title), hint, ..problem };
    InstallError::Pip(told).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_needs_what_its_files_name_and_pytest_when_it_is_configured() {
        let source = SourceFiles::default().with("requirements.txt", "flask");
        assert!(Needs::of(&source).is_none());
        let needs = Needs::of(&source.clone().with("pytest.ini", "")).unwrap();
        assert_eq!((needs.packages.files.len(), needs.runner), (0, vec![PYTEST.to_owned()]));
        let needs = Needs::of(&source.with("requirements-dev.txt", "black")).unwrap();
        assert_eq!(needs.packages.files, ["requirements-dev.txt"]);
        assert!(needs.runner.is_empty());
    }

    #[test]
    fn a_failure_names_the_file_that_asked() {
        let problem = Problem::new("pip-invalid", 422, "requirements.txt cannot be read", "x")
            .hint("in requirements.txt");
        let PipError::Install(InstallError::Pip(told)) = named(InstallError::Pip(problem), "dev.txt") else {
            panic!()
        };
        assert_eq!(
            (told.title.as_str(), told.hint.as_deref()),
            ("dev.txt cannot be read", Some("in dev.txt"))
        );
    }
}
