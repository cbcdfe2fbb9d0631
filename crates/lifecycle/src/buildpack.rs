//! A buildpack on disk, and how its programs are started (buildpack specification, "Buildpack Interface").

use crate::{
    environment::{EnvironmentError, Variables, add_operator_directory, is_search_path, prepend, read_files},
    inputs::Inputs,
};
use cnb::{Api, FormatError, buildpack::Descriptor, id::escape, target::Target};
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use thiserror::Error;

/// One buildpack at `<buildpacks>/<escaped id>/<version>`.
#[derive(Clone, Debug)]
pub struct Buildpack {
    pub directory: PathBuf,
    pub descriptor: Descriptor,
}

/// A buildpack cannot be used at all.
#[derive(Debug, Error)]
pub enum BuildpackError {
    #[error("buildpack {name} is not in the builder: no {path}")]
    Missing { name: String, path: PathBuf },
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(
        "buildpack {name} has buildpack API {api}, which is incompatible with the lifecycle: it speaks {oldest} to {newest}",
        oldest = Api::OLDEST_BUILDPACK,
        newest = Api::BUILDPACK
    )]
    Api { name: String, api: Api },
}

impl Buildpack {
    /// Reads the descriptor of one buildpack.
    pub fn load(buildpacks_dir: &Path, id: &str, version: &str) -> Result<Self, BuildpackError> {
        let name = format!("{id}@{version}");
        cnb::id::check_buildpack(&name, id)?;
        cnb::id::check_version(&name, version)?;
        let directory = buildpacks_dir.join(escape(id)).join(version);
        let path = directory.join("buildpack.toml");
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BuildpackError::Missing { name: name.clone(), path: path.clone() },
            _ => BuildpackError::Read { path: path.clone(), source },
        })?;
        let descriptor = Descriptor::read(&path.display().to_string(), &bytes)?;
        if !descriptor.api.is_buildpack() {
            return Err(BuildpackError::Api { name, api: descriptor.api });
        }
        Ok(Self { directory, descriptor })
    }

    /// `id version`, for people.
    pub fn name(&self) -> String {
        format!("{} {}", self.descriptor.buildpack.id, self.descriptor.buildpack.version)
    }

    /// Whether it may run for the image's target. One that names no target runs everywhere; a stack, which targets
    /// took the place of, counts as the reference counts it: `bionic` is Ubuntu 18.04, any other is no restriction.
    pub fn matches(&self, inputs: &Inputs) -> bool {
        let targets = &self.descriptor.targets;
        if !targets.is_empty() {
            return targets.iter().any(|target| target.matches(&inputs.target));
        }
        let stacks = &self.descriptor.stacks;
        let bionic = Target {
            os: "linux".to_owned(),
            distros: vec![cnb::target::Distro { name: "ubuntu".to_owned(), version: "18.04".to_owned() }],
            ..Target::default()
        };
        let only_bionic = |id: &str| id == "io.buildpacks.stacks.bionic";
        stacks.is_empty()
            || stacks.iter().any(|stack| !only_bionic(&stack.id))
            || bionic.matches(&inputs.target)
    }

    /// `bin/<program>` in the app directory with the environment that the specification gives it: `variables`, the
    /// user's unless it wants none, the operator's, the target, and where things are.
    pub(crate) fn command(
        &self,
        program: &str,
        inputs: &Inputs,
        variables: &Variables,
    ) -> Result<Command, EnvironmentError> {
        let mut variables = variables.clone();
        if !self.descriptor.buildpack.clear_env {
            for (name, value) in read_files(&inputs.platform_dir.join("env"))? {
                if is_search_path(&name) {
                    prepend(&mut variables, &name, &value, OsStr::new(":"));
                } else {
                    variables.insert(name, value);
                }
            }
        }
        add_operator_directory(&mut variables, &inputs.build_config_dir.join("env"))?;
        let mut command = Command::new(self.directory.join("bin").join(program));
        command
            .current_dir(&inputs.app_dir)
            .stdin(Stdio::null())
            .env_clear()
            .envs(variables)
            .env("CNB_BUILDPACK_DIR", &self.directory)
            .env("CNB_PLATFORM_DIR", &inputs.platform_dir);
        if self.descriptor.api.at_least(0, 10) {
            command.envs(inputs.target.env());
        }
        if self.descriptor.api.at_least(0, 12) {
            command.env("CNB_EXEC_ENV", &inputs.exec_env);
        }
        Ok(command)
    }
}
