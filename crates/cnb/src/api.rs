//! Versions of the Platform API and the Buildpack API (platform specification, "Platform API Version";
//! buildpack specification, "Buildpack API Version").

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// `<major>.<minor>`, or `<major>` alone for `<major>.0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Api {
    pub major: u32,
    pub minor: u32,
}

/// Text that is no API version.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not an API version: expected for example `0.12`")]
pub struct BadApi(String);

impl Api {
    /// What a platform of ours asks for, and what an image's launcher is told.
    pub const PLATFORM: Self = Self::new(0, 15);
    /// Oldest Platform API that this lifecycle speaks.
    pub const OLDEST_PLATFORM: Self = Self::new(0, 12);
    /// Newest Buildpack API that this lifecycle speaks.
    pub const BUILDPACK: Self = Self::new(0, 12);
    /// Oldest Buildpack API that this lifecycle speaks.
    pub const OLDEST_BUILDPACK: Self = Self::new(0, 7);

    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Whether a platform may ask this lifecycle for it.
    pub fn is_platform(self) -> bool {
        (Self::OLDEST_PLATFORM..=Self::PLATFORM).contains(&self)
    }

    /// Whether a buildpack of this API can be run.
    pub fn is_buildpack(self) -> bool {
        (Self::OLDEST_BUILDPACK..=Self::BUILDPACK).contains(&self)
    }

    /// Whether this is version `major.minor` or newer.
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        self >= Self::new(major, minor)
    }
}

impl FromStr for Api {
    type Err = BadApi;

    fn from_str(text: &str) -> Result<Self, BadApi> {
        let number = |part: &str| -> Option<u32> {
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        };
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        match (number(major), number(minor)) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(BadApi(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for Api {
    type Error = BadApi;

    fn try_from(text: String) -> Result<Self, BadApi> {
        text.parse()
    }
}

impl From<Api> for String {
    fn from(api: Api) -> Self {
        api.to_string()
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_and_not_as_text() {
        assert!("0.10".parse::<Api>().unwrap() > "0.9".parse::<Api>().unwrap());
        assert_eq!("1".parse::<Api>().unwrap().to_string(), "1.0");
        for bad in ["", ".", "0.", "0.x", "v0.1", "0.1.2", "+1.0"] {
            assert!(bad.parse::<Api>().is_err(), "{bad}");
        }
        assert!(
            !Api::new(0, 6).is_buildpack()
                && Api::new(0, 10).is_buildpack()
                && !Api::new(0, 13).is_buildpack()
        );
        assert!(!Api::new(0, 11).is_platform() && Api::new(0, 15).is_platform());
    }
}
