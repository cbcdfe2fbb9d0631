//! What a source tree asks for, as one value: the run's plan step stores it and the later steps read it.

use crate::testing::Tests;
use model::ProcessType;
use serde::{Deserialize, Serialize};

/// The plan of one commit. Serialised as the output of the plan step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What the pusher reads on the plan line, in order: `python 3.13 (from .python-version)`,
    /// `pip (requirements.txt)`, `web: gunicorn (Procfile)`. Free of control characters.
    pub parts: Vec<String>,
    /// The Python that is used, when the tree is a Python application.
    pub python: Option<PythonChoice>,
    /// The process that answers requests.
    pub web: Web,
    /// Runs once in the new image before the switch; its failure means not released.
    pub release: Option<Command>,
    /// Run before the build; `None`: there are none. Plans of older versions say nothing of tests.
    #[serde(default)]
    pub tests: Option<Tests>,
    /// project.toml says that there are none to be run.
    #[serde(default)]
    pub tests_off: bool,
    /// Process types besides `web` and `release`: recorded in the release, not run yet.
    pub other_processes: Vec<ProcessType>,
    pub health: Health,
    /// `NAME=value` for the build only (project.toml `[[io.buildpacks.build.env]]`), in order of the file.
    pub build_env: Vec<(String, String)>,
    /// `NAME=value` for every process of the release (project.toml `[_.metadata.windlass.env]`), sorted by name.
    pub launch_env: Vec<(String, String)>,
    /// Sentences for the pusher about what was ignored or will surprise. Free of control characters.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The plan line: its parts, joined as design §6 shows.
    pub fn line(&self) -> String {
        self.parts.join(" · ")
    }
}

/// Which Python and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonChoice {
    /// `3.13`
    pub version: String,
    /// The plan line's words in brackets: `from .python-version`, `nearest to python3.11 of service.template`.
    pub reason: String,
}

/// A command line that `bash -c` runs with the image's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// As its author wrote it, control characters included; may hold `$PORT`. Show it through [`crate::shown`].
    pub text: String,
    /// The file that says so: `Procfile`, `project.toml`, or `app.py` for the default server.
    pub from: String,
}

/// The process type `web`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Web {
    pub command: Command,
    /// Memory that the tree asks for, in bytes; the platform's default when `None`. Not yet held against a ceiling.
    pub memory_bytes: Option<u64>,
    /// CPU that the tree asks for, in thousandths of a core; the platform's default when `None`.
    pub cpu_millis: Option<u32>,
}

/// How the platform tells that `web` is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `None`: any answer to `GET /`. A path must answer 2xx or 3xx.
    pub path: Option<String>,
    /// How long it may take from start to the first good answer, in seconds (1 to 600).
    pub timeout_seconds: u32,
}

impl Default for Health {
    /// 60 seconds for any answer to `GET /`.
    fn default() -> Self {
        Self { path: None, timeout_seconds: 60 }
    }
}
