//! Detection: which buildpacks build this source, and what each has to provide (platform specification, "Detection";
//! notes of the order's search in [`search`], of the build plan in [`resolve`]).
//!
//! Every `bin/detect` runs at most once, those of one group at the same time.

mod probe;
mod resolve;
mod search;
mod words;

pub(crate) use probe::ended;
pub use probe::{Outcome, Probe};

use crate::{
    buildpack::BuildpackError,
    environment::EnvironmentError,
    inputs::{InputError, Inputs, read_if_there},
};
use cnb::{
    FormatError, file,
    group::Group,
    order::{OrderElement, OrderFile, OrderGroup},
    plan::Plan,
    system::SystemFile,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The group that passed.
#[derive(Clone, Debug)]
pub struct Detected {
    pub group: Group,
    pub plan: Plan,
    /// Every buildpack that was asked, in the order in which they were.
    pub probes: Vec<Probe>,
}

/// No group passed; whom was asked and what they said.
#[derive(Clone, Debug)]
pub struct Nothing {
    pub probes: Vec<Probe>,
    /// Why groups whose buildpacks all passed did not fit together.
    pub reasons: Vec<String>,
    /// At least one buildpack did not pass because of an error.
    pub error: bool,
}

/// Detection did not give a group.
#[derive(Debug, Error)]
pub enum DetectError {
    #[error("{0}")]
    Nothing(Nothing),
    #[error("the builder has no order of buildpacks: no {0}")]
    NoOrder(PathBuf),
    #[error("{0} orders image extensions, which this lifecycle cannot run: use a builder without extensions")]
    Extensions(PathBuf),
    #[error("{0}: composite buildpacks contain each other")]
    Endless(String),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Buildpack(#[from] BuildpackError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("cannot run {name}'s bin/detect: no room for its output")]
    Scratch {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Asks the buildpacks of the order.
pub fn run(inputs: &Inputs) -> Result<Detected, DetectError> {
    search::run(inputs, &order(inputs)?)
}

/// Writes group.toml and plan.toml, the inputs of the build.
pub fn write(inputs: &Inputs, detected: &Detected) -> Result<(), DetectError> {
    write_file(&inputs.group_path, &file::write("group.toml", &detected.group)?)?;
    write_file(&inputs.plan_path, &detected.plan.write()?)
}

fn write_file(path: &Path, text: &str) -> Result<(), DetectError> {
    fs::write(path, text).map_err(|source| DetectError::Write { path: path.to_owned(), source })
}

/// The builder's order; since Platform API 0.15 with the system's buildpacks around every group that has them not.
fn order(inputs: &Inputs) -> Result<Vec<OrderGroup>, DetectError> {
    let path = &inputs.order_path;
    let bytes = read_if_there(path)?.ok_or_else(|| DetectError::NoOrder(path.clone()))?;
    let order: OrderFile = file::read(&path.display().to_string(), &bytes)?;
    if !order.order_extensions.is_empty() {
        return Err(DetectError::Extensions(path.clone()));
    }
    let mut groups = order.order;
    if inputs.platform_api.at_least(0, 15)
        && let Some(bytes) = read_if_there(&inputs.system_path)?
    {
        let system: SystemFile = file::read(&inputs.system_path.display().to_string(), &bytes)?;
        for group in &mut groups {
            let has = |element: &OrderElement| group.group.iter().any(|other| other.id == element.id);
            let missing = |elements: &[OrderElement]| -> Vec<OrderElement> {
                elements.iter().filter(|element| !has(element)).cloned().collect()
            };
            let before = missing(&system.system.pre.buildpacks);
            let after = missing(&system.system.post.buildpacks);
            group.group.splice(0..0, before);
            group.group.extend(after);
        }
    }
    Ok(groups)
}
