//! Names that people choose. One rule serves as DNS label, registry path, Kubernetes namespace and directory.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A tool's name: `[a-z][a-z0-9]*(-[a-z0-9]+)*`, 2 to 30 characters, not reserved. It holds no `--`, so that
/// `<tool>--<environment>` is one DNS label and never meets another tool's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(String);

/// `production`, `beta`, `preview-<branch>`: same letters as a tool's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentName(String);

/// A process type of a Procfile or of CNB launch metadata: `[A-Za-z0-9._-]{1,63}`, not starting with a dot or dash
/// (CNB platform specification, "launch.toml", narrowed to what is safe as a file name).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);

/// Why a text is no name; the sentence is for the person who chose it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadName {
    #[error("`{0}` cannot be a name: use 2 to 30 characters")]
    Length(String),
    #[error(
        "`{0}` cannot be a name: use lower-case letters, digits and single dashes, starting with a letter"
    )]
    Letters(String),
    #[error("`{0}` is reserved for the platform; choose another name")]
    Reserved(String),
    #[error("`{0}` cannot be a process type: use up to 63 letters, digits, dots, dashes and underscores")]
    ProcessType(String),
}

/// Names that would collide with the platform's own host names, paths and words.
const RESERVED: &[&str] = &[
    "www",
    "api",
    "git",
    "registry",
    "v2",
    "admin",
    "operator",
    "static",
    "status",
    "help",
    "login",
    "mail",
    "localhost",
    "windlass",
    "library",
];

fn check(text: &str) -> Result<(), BadName> {
    let shown = || text.chars().take(60).collect::<String>();
    if !(2..=30).contains(&text.len()) {
        return Err(BadName::Length(shown()));
    }
    let part_ok =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.split('-').all(part_ok) {
        return Err(BadName::Letters(shown()));
    }
    Ok(())
}

impl FromStr for ToolName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check(text)?;
        if RESERVED.contains(&text) || text.starts_with("xn-") {
            return Err(BadName::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl EnvironmentName {
    /// Where the production branch is deployed.
    pub fn production() -> Self {
        Self("production".to_owned())
    }
}

impl FromStr for EnvironmentName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl ProcessType {
    /// The process that answers HTTP requests.
    pub fn web() -> Self {
        Self("web".to_owned())
    }
}

impl FromStr for ProcessType {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > 63 || text.starts_with(['.', '-']) || !text.bytes().all(letter) {
            return Err(BadName::ProcessType(text.chars().take(60).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! text_of {
    ($($name:ident),*) => {$(
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}
text_of!(ToolName, EnvironmentName, ProcessType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_name_is_a_dns_label_without_double_dashes() {
        for good in ["ab", "wordcount", "foo-beta", "a1-2-b", &"a".repeat(30)] {
            assert!(good.parse::<ToolName>().is_ok(), "{good}");
        }
        for bad in
            ["", "a", &"a".repeat(31), "Ab", "1a", "-ab", "ab-", "a--b", "a_b", "a.b", "../x", "é1", "a\nb"]
        {
            assert!(bad.parse::<ToolName>().is_err(), "{bad}");
        }
        assert_eq!("git".parse::<ToolName>(), Err(BadName::Reserved("git".into())));
        assert_eq!("xn-80ak".parse::<ToolName>(), Err(BadName::Reserved("xn-80ak".into())));
    }

    #[test]
    fn a_process_type_is_a_safe_file_name() {
        assert!("web".parse::<ProcessType>().is_ok());
        for bad in ["", ".", "..", "a/b", "a b", "-x", &"p".repeat(64)] {
            assert!(bad.parse::<ProcessType>().is_err(), "{bad}");
        }
    }
}
