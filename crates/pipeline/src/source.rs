//! What the planner gets to see of a commit: every path, and the bytes of a few small files.

use crate::testing::TEST_REQUIREMENTS;
use std::collections::BTreeMap;

/// Files that the platform reads from the commit, besides what [`is_known`] says.
pub const KNOWN_FILES: &[&str] = &[
    "Procfile",
    "project.toml",
    "service.template",
    ".python-version",
    "runtime.txt",
    "requirements.txt",
    "pyproject.toml",
    "app.py",
    "application.py",
    "main.py",
    "wsgi.py",
    "asgi.py",
    "www/python/src/app.py",
    "setup.cfg",
    "tox.ini",
];

/// Largest file that is read for the plan, in bytes; a larger known file is left out of [`SourceFiles::known`] and
/// named in [`SourceFiles::too_large`].
pub const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Whether the planner wants the bytes of this path: [`KNOWN_FILES`], requirements of tests, and Django's `<package>/wsgi.py`.
pub fn is_known(path: &str) -> bool {
    KNOWN_FILES.contains(&path)
        || TEST_REQUIREMENTS.contains(&path)
        || path.strip_suffix("/wsgi.py").is_some_and(|package| !package.contains('/'))
}

/// One commit as the planner sees it. Paths are relative, with `/` between their parts, as git lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFiles {
    /// Every file of the commit (the planner looks only for names).
    pub paths: Vec<String>,
    /// Bytes of the regular files for which [`is_known`] is true.
    pub known: BTreeMap<String, Vec<u8>>,
    /// Known files above [`MAX_FILE_BYTES`].
    pub too_large: Vec<String>,
}

impl SourceFiles {
    /// Adds one file, its path and its bytes.
    #[must_use]
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.paths.push(path.to_owned());
        if is_known(path) {
            self.known.insert(path.to_owned(), bytes.into());
        }
        self
    }

    /// Whether the commit has this file.
    pub fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|known| known == path)
    }
}
