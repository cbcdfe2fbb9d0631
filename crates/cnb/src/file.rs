//! Reading and writing one TOML file, with errors that name it.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A file that is not what its format says.
#[derive(Debug, Error)]
pub enum FormatError {
    #[error("{name} is not UTF-8 text")]
    NotText { name: String },
    #[error("{name} cannot be read")]
    Read {
        name: String,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{name} cannot be written")]
    Write {
        name: String,
        #[source]
        source: Box<toml::ser::Error>,
    },
    /// Readable, but against a rule of the specification.
    #[error("{name}: {problem}")]
    Rule { name: String, problem: String },
}

impl FormatError {
    pub(crate) fn rule(name: &str, problem: impl Into<String>) -> Self {
        Self::Rule { name: name.to_owned(), problem: problem.into() }
    }
}

/// Reads `bytes` as the file `name`, a name for people.
pub fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, FormatError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FormatError::NotText { name: name.to_owned() })?;
    toml::from_str(text)
        .map_err(|source| FormatError::Read { name: name.to_owned(), source: Box::new(source) })
}

/// Writes `value` as TOML. Keys come in the order of the type's fields, tables sorted: equal values, equal bytes.
pub fn write<T: Serialize>(name: &str, value: &T) -> Result<String, FormatError> {
    toml::to_string(value)
        .map_err(|source| FormatError::Write { name: name.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_keep_the_cause_apart() {
        let error = read::<toml::Table>("launch.toml", b"a = ").unwrap_err();
        assert_eq!(error.to_string(), "launch.toml cannot be read");
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(read::<toml::Table>("x", b"\xff").unwrap_err().to_string(), "x is not UTF-8 text");
    }
}
