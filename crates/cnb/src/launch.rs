//! launch.toml: what a buildpack wants the image to do (buildpack specification, "launch.toml (TOML)").
//! Before Buildpack API 0.9 a command is one text and a process may ask for a shell; from 0.9 on it is an array.

use crate::{Api, FormatError, file, id, process::Process};
use serde::{Deserialize, Serialize};

/// The file's contents, in the shape of the newest API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    pub labels: Vec<Label>,
    pub processes: Vec<Process>,
    /// The type of the process marked `default = true`.
    pub default_process: Option<String>,
    pub slices: Vec<Slice>,
}

/// A label of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Label {
    pub key: String,
    pub value: String,
}

/// Paths of the app directory that get an app layer of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slice {
    pub paths: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Label>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<RawProcess>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slices: Vec<Slice>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawProcess {
    #[serde(rename = "type")]
    kind: String,
    command: Command,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    direct: Option<bool>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exec_env: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Command {
    Text(String),
    Array(Vec<String>),
}

impl Launch {
    /// Reads the launch.toml that buildpack `buildpack_id` of API `api` wrote.
    pub fn read(name: &str, bytes: &[u8], api: Api, buildpack_id: &str) -> Result<Self, FormatError> {
        let raw: Raw = file::read(name, bytes)?;
        let mut launch = Self { labels: raw.labels, slices: raw.slices, ..Self::default() };
        for process in raw.processes {
            if process.default {
                if let Some(other) = &launch.default_process {
                    let text = format!("both `{other}` and `{}` are marked as default process", process.kind);
                    return Err(FormatError::rule(name, text));
                }
                launch.default_process = Some(process.kind.clone());
            }
            launch.processes.push(process.check(name, api, buildpack_id)?);
        }
        Ok(launch)
    }

    /// Writes launch.toml for Buildpack API 0.9 and later.
    pub fn write(&self) -> Result<String, FormatError> {
        let process = |p: &Process| RawProcess {
            kind: p.kind.clone(),
            command: Command::Array(p.command.clone()),
            args: p.args.clone(),
            direct: None,
            default: self.default_process.as_ref() == Some(&p.kind),
            working_dir: p.working_dir.clone(),
            exec_env: p.exec_env.clone(),
        };
        let raw = Raw {
            labels: self.labels.clone(),
            processes: self.processes.iter().map(process).collect(),
            slices: self.slices.clone(),
        };
        file::write("launch.toml", &raw)
    }
}

impl RawProcess {
    fn check(self, name: &str, api: Api, buildpack_id: &str) -> Result<Process, FormatError> {
        let shown: String = self.kind.chars().take(60).collect();
        if !id::is_process_type(&self.kind) {
            let text =
                format!("`{shown}` is not a process type: use letters, digits, dots, dashes and underscores");
            return Err(FormatError::rule(name, text));
        }
        let (command, direct) = match (self.command, api.at_least(0, 9)) {
            (Command::Array(command), true) => {
                if self.direct.is_some() {
                    let text =
                        format!("process `{shown}`: `direct` is gone since Buildpack API 0.9, remove it");
                    return Err(FormatError::rule(name, text));
                }
                (command, true)
            }
            (Command::Text(command), false) => (vec![command], self.direct.unwrap_or(false)),
            (Command::Text(_), true) => {
                let text = format!("process `{shown}`: `command` must be an array since Buildpack API 0.9");
                return Err(FormatError::rule(name, text));
            }
            (Command::Array(_), false) => {
                let text = format!("process `{shown}`: `command` must be one text before Buildpack API 0.9");
                return Err(FormatError::rule(name, text));
            }
        };
        if command.first().is_none_or(String::is_empty) {
            return Err(FormatError::rule(name, format!("process `{shown}` has no command")));
        }
        Ok(Process {
            kind: self.kind,
            command,
            args: self.args,
            direct,
            buildpack_id: buildpack_id.to_owned(),
            working_dir: self.working_dir.filter(|d| !d.is_empty()),
            exec_env: self.exec_env,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Api = Api::new(0, 10);
    const OLD: Api = Api::new(0, 8);
    const FILE: &str = r#"[[labels]]
key = "k"
value = "v"

[[processes]]
type = "web"
command = ["gunicorn", "app:app"]
args = ["--reload"]
default = true
working-dir = "src"

[[slices]]
paths = ["static/*"]
"#;

    #[test]
    fn the_file_reads_back_as_written() {
        let launch = Launch::read("launch.toml", FILE.as_bytes(), NEW, "example/x").unwrap();
        assert_eq!(launch.default_process.as_deref(), Some("web"));
        assert!(launch.processes[0].direct);
        assert_eq!(launch.write().unwrap(), FILE);
    }

    #[test]
    fn before_0_9_a_command_is_one_text_and_may_ask_for_a_shell() {
        let read = |text: &str| Launch::read("launch.toml", text.as_bytes(), OLD, "x");
        let launch = read("[[processes]]\ntype = 'web'\ncommand = 'python $FILE'").unwrap();
        assert_eq!(
            (launch.processes[0].command[0].as_str(), launch.processes[0].direct),
            ("python $FILE", false)
        );
        assert!(
            read("[[processes]]\ntype = 'web'\ncommand = 'x'\ndirect = true").unwrap().processes[0].direct
        );
        assert!(read("[[processes]]\ntype = 'web'\ncommand = ['x']").is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_process_named() {
        for (text, says) in [
            ("[[processes]]\ntype = 'web'\ncommand = 'x'", "must be an array"),
            ("[[processes]]\ntype = 'web'\ncommand = []", "has no command"),
            ("[[processes]]\ntype = 'a/b'\ncommand = ['x']", "is not a process type"),
            ("[[processes]]\ntype = 'web'\ncommand = ['x']\ndirect = true", "gone since"),
            (
                "[[processes]]\ntype = 'a'\ncommand = ['x']\ndefault = true\n\
                 [[processes]]\ntype = 'b'\ncommand = ['x']\ndefault = true",
                "both `a` and `b`",
            ),
        ] {
            let error = Launch::read("launch.toml", text.as_bytes(), NEW, "x").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
