//! One run of a `bin/detect` (buildpack specification, "Detection").

use super::DetectError;
use crate::{buildpack::Buildpack, inputs::Inputs};
use cnb::build_plan::BuildPlan;
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
};

/// What is kept of a buildpack's output.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;

/// One buildpack's answer.
#[derive(Clone, Debug)]
pub struct Probe {
    /// `id version`.
    pub name: String,
    /// From its descriptor.
    pub description: String,
    pub outcome: Outcome,
    /// Standard output and error together, as they came.
    pub said: String,
    pub(super) plan: BuildPlan,
}

/// How a buildpack answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Status 0.
    Passed,
    /// Status 100: nothing for it here.
    Failed,
    /// Anything else, in words.
    Error(String),
}

impl Probe {
    /// An answer that was given without asking.
    pub(super) fn error(buildpack: &Buildpack, text: String) -> Self {
        Self {
            name: buildpack.name(),
            description: buildpack.descriptor.buildpack.description.clone(),
            outcome: Outcome::Error(text),
            said: String::new(),
            plan: BuildPlan::default(),
        }
    }

    /// Runs `bin/detect`. Its output goes to a file: a process that it leaves behind cannot hold us up.
    pub(super) fn run(buildpack: &Buildpack, inputs: &Inputs) -> Result<Self, DetectError> {
        let scratch = |source| DetectError::Scratch { name: buildpack.name(), source };
        let directory = tempfile::tempdir().map_err(scratch)?;
        let plan_path = directory.path().join("plan.toml");
        fs::write(&plan_path, "").map_err(scratch)?;
        let output_path = directory.path().join("output");
        let output = File::options().create(true).append(true).open(&output_path).map_err(scratch)?;
        let mut command = buildpack.command("detect", inputs, &inputs.environment)?;
        command
            .env("CNB_BUILD_PLAN_PATH", &plan_path)
            .arg(&inputs.platform_dir)
            .arg(&plan_path)
            .stdout(output.try_clone().map_err(scratch)?)
            .stderr(output);
        let status = match command.status() {
            Ok(status) => status,
            Err(error) => {
                return Ok(Self::error(buildpack, format!("its bin/detect cannot be started: {error}")));
            }
        };
        let mut probe = Self::error(buildpack, String::new());
        probe.said = read_output(&output_path).map_err(scratch)?;
        probe.outcome = match status.code() {
            Some(0) => match read_plan(&plan_path) {
                Ok(plan) => {
                    probe.plan = plan;
                    Outcome::Passed
                }
                Err(text) => Outcome::Error(text),
            },
            Some(100) => Outcome::Failed,
            _ => Outcome::Error(ended(status)),
        };
        Ok(probe)
    }
}

/// `ended with status 3`, `was ended by signal 9`.
pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn read_output(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_plan(path: &Path) -> Result<BuildPlan, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BuildPlan::default()),
        Err(error) => return Err(format!("its build plan cannot be read: {error}")),
    };
    BuildPlan::read("its build plan", &bytes).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    })
}
