//! The names of a tool's log streams; each is one file of rows.

use crate::{ProcessType, run::StepKind};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};
use thiserror::Error;

/// One stream of a tool, written as text: `run/12/build`, `process/web.1`, `router`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LogStream {
    /// One step of one run, by the run's number within the tool.
    Step { run: u64, step: StepKind },
    /// What a running process says, through all its releases and restarts. Copies count from 1.
    Process { process: ProcessType, number: u32 },
    /// One row per request that the router answered.
    Router,
}

/// Text that names no stream.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` names no log: expected `run/<number>/<step>`, `process/<type>.<number>` or `router`")]
pub struct BadStream(String);

impl LogStream {
    /// Where its rows lie, beneath the tool's log directory.
    pub fn file(&self) -> PathBuf {
        PathBuf::from(format!("{self}.log"))
    }
}

impl FromStr for LogStream {
    type Err = BadStream;

    fn from_str(text: &str) -> Result<Self, BadStream> {
        parse(text).ok_or_else(|| BadStream(text.chars().take(100).collect()))
    }
}

fn parse(text: &str) -> Option<LogStream> {
    if text == "router" {
        return Some(LogStream::Router);
    }
    if let Some(copy) = text.strip_prefix("process/") {
        let (process, number) = copy.rsplit_once('.')?;
        return Some(LogStream::Process { process: process.parse().ok()?, number: counted(number)? });
    }
    let (run, step) = text.strip_prefix("run/")?.split_once('/')?;
    let step = *StepKind::ALL.iter().find(|kind| kind.as_str() == step)?;
    Some(LogStream::Step { run: counted(run)?, step })
}

/// A number from 1 on, in its one spelling: `1`, never `01` or `+1`, so that a stream has one name.
fn counted<N: FromStr>(digits: &str) -> Option<N> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok())?
}

impl TryFrom<String> for LogStream {
    type Error = BadStream;

    fn try_from(text: String) -> Result<Self, BadStream> {
        text.parse()
    }
}

impl From<LogStream> for String {
    fn from(stream: LogStream) -> Self {
        stream.to_string()
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { run, step } => write!(f, "run/{run}/{step}"),
            Self::Process { process, number } => write!(f, "process/{process}.{number}"),
            Self::Router => f.write_str("router"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_one_name_that_reads_back() {
        for text in ["run/12/build", "process/web.1", "process/my.worker.20", "router"] {
            assert_eq!(text.parse::<LogStream>().unwrap().to_string(), text);
        }
        assert_eq!("run/3/plan".parse::<LogStream>().unwrap().file(), PathBuf::from("run/3/plan.log"));
    }

    #[test]
    fn nothing_else_names_a_stream() {
        let bad = [
            "",
            "run",
            "run/0/build",
            "run/01/build",
            "run/+1/build",
            "run/1/paint",
            "run/1/build/..",
            "process/web",
            "process/web.",
            "process/web.0",
            "process/../x.1",
            "process/.1",
            "../router",
            "router/",
            "Router",
        ];
        for text in bad {
            assert!(text.parse::<LogStream>().is_err(), "{text}");
        }
    }
}
