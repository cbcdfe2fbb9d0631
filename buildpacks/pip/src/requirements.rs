//! What a requirements file and those it includes say, as far as the key of the installed layer needs it.

use model::Problem;
use pipeline::shown;
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};
use thiserror::Error;

/// Most files that are followed; more would be a cycle or a joke.
const MAX_FILES: usize = 64;
/// Largest file in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A requirements file could not be read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("cannot read `{path}`")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("`{0}` is larger than 1 MiB")]
    TooLarge(String),
    #[error("more than {MAX_FILES} requirements files include each other")]
    TooMany,
}

impl ReadError {
    /// The author's problem that this is.
    pub(crate) fn problem(&self) -> Problem {
        Problem::new("pip-requirements", 422, "the requirements cannot be read", self.to_string())
            .hint("commit every file that requirements.txt includes, or take its line out")
    }
}

/// The key of everything that the file `path` asks for: a hash over it and all that it includes by `-r` and `-c`.
/// `None` when something in it may change without any of these files changing: a local project, or a branch of a
/// repository.
pub(crate) fn key(app_dir: &Path, path: &str) -> Result<Option<String>, ReadError> {
    let mut files = vec![PathBuf::from(path)];
    let mut hash = Sha256::new();
    let mut next = 0;
    while let Some(path) = files.get(next).cloned() {
        next += 1;
        let text = read(app_dir, &path)?;
        let name = path.to_string_lossy();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(&text);
        for line in String::from_utf8_lossy(&text).replace("\\\n", " ").replace("\\\r\n", " ").lines() {
            match Line::of(line) {
                Line::Fixed => {}
                Line::Moving => return Ok(None),
                Line::Include(included) => match beneath(path.parent().unwrap_or(Path::new("")), &included) {
                    // Outside of the application nothing says when it changes.
                    None => return Ok(None),
                    Some(included) if files.contains(&included) => {}
                    Some(included) => files.push(included),
                },
            }
        }
        if files.len() > MAX_FILES {
            return Err(ReadError::TooMany);
        }
    }
    Ok(Some(hex::encode(hash.finalize())))
}

fn read(app_dir: &Path, path: &Path) -> Result<Vec<u8>, ReadError> {
    let name = shown(&path.to_string_lossy(), 100);
    let full = app_dir.join(path);
    let failed = |source| ReadError::Io { path: name.clone(), source };
    if full.metadata().map_err(failed)?.len() > MAX_BYTES {
        return Err(ReadError::TooLarge(name));
    }
    fs::read(&full).map_err(failed)
}

/// `included`, relative to `directory`, without leaving the root.
fn beneath(directory: &Path, included: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in directory.join(included).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    Some(path)
}

enum Line {
    /// The index, a release or nothing: the text alone says what is installed.
    Fixed,
    Include(String),
    Moving,
}

impl Line {
    /// One line of pip's requirements file format (pip.pypa.io/en/stable/reference/requirements-file-format).
    fn of(line: &str) -> Self {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            return Self::Fixed;
        }
        for option in ["-r", "--requirement", "-c", "--constraint"] {
            if let Some(rest) = line.strip_prefix(option) {
                let separated = !option.starts_with("--") || rest.starts_with([' ', '=', '\t']);
                let file = rest.trim_start_matches(['=', ' ', '\t']);
                // An address cannot be hashed; `${…}` is known to pip alone.
                let unknown = file.contains("://") || file.contains("${") || !separated;
                return if unknown { Self::Moving } else { Self::Include(file.to_owned()) };
            }
        }
        let local = ["-e", "--editable", "-f", "--find-links", ".", "/", "file:"];
        let target = line.split_once(" @ ").map_or(line, |(_, target)| target.trim());
        if local.iter().any(|start| line.starts_with(start) || target.starts_with(start))
            || line.contains("${")
            // A path without a leading dot: `wheels/tool-1.0-py3-none-any.whl`.
            || (!target.contains("://") && target.split([';', ' ']).next().unwrap_or_default().contains('/'))
        {
            return Self::Moving;
        }
        let version_control = ["git+", "hg+", "svn+", "bzr+"].iter().any(|start| target.starts_with(start));
        if version_control && !names_a_commit(target) { Self::Moving } else { Self::Fixed }
    }
}

/// Whether `git+https://host/project.git@<40 hex digits>` ends in a commit.
fn names_a_commit(target: &str) -> bool {
    let address = target.split(['#', ' ', ';']).next().unwrap_or_default();
    address
        .rsplit_once('@')
        .is_some_and(|(_, commit)| commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(files: &[(&str, &str)]) -> Option<String> {
        let app = tempfile::tempdir().unwrap();
        for (path, text) in files {
            fs::create_dir_all(app.path().join(path).parent().unwrap()).unwrap();
            fs::write(app.path().join(path), text).unwrap();
        }
        key(app.path(), files[0].0).unwrap()
    }

    #[test]
    fn the_key_follows_included_files_and_nothing_else() {
        let base = key_of(&[
            ("requirements.txt", "flask==3\n-r base/more.txt\n"),
            ("base/more.txt", "-c ../c.txt\n"),
            ("c.txt", "a==1"),
        ]);
        let changed = key_of(&[
            ("requirements.txt", "flask==3\n-r base/more.txt\n"),
            ("base/more.txt", "-c ../c.txt\n"),
            ("c.txt", "a==2"),
        ]);
        let beside = key_of(&[
            ("requirements.txt", "flask==3\n-r base/more.txt\n"),
            ("base/more.txt", "-c ../c.txt\n"),
            ("c.txt", "a==1"),
            ("app.py", "x"),
        ]);
        assert!(base.is_some());
        assert_eq!(base, beside);
        assert_ne!(base, changed);
        let cycle = key_of(&[("requirements.txt", "-r requirements.txt\nflask")]);
        assert!(cycle.is_some());
    }

    #[test]
    fn what_may_change_by_itself_has_no_key() {
        for moving in [
            "-e .",
            ".",
            "./lib",
            "-r ../outside.txt",
            "-r https://example.org/r.txt",
            "tool @ file:///x",
            "git+https://example.org/tool.git",
            "tool @ git+https://example.org/tool.git@main#egg=tool",
            "wheels/tool-1.0-py3-none-any.whl",
            "--find-links wheels",
            "tool==${VERSION}",
            "flask \\\n && -e .\n-e .",
        ] {
            assert_eq!(key_of(&[("requirements.txt", moving)]), None, "{moving}");
        }
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for fixed in [
            "flask",
            "flask[async]>=3 ; python_version > '3.8'  # why",
            "--index-url https://pypi.org/simple",
            "tool @ https://example.org/tool-1.0.tar.gz",
            "# -e .",
            &format!("tool @ git+https://example.org/tool.git@{commit}#egg=tool"),
            "flask==3.0 \\\n    --hash=sha256:00ff",
        ] {
            assert!(key_of(&[("requirements.txt", fixed)]).is_some(), "{fixed}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let app = tempfile::tempdir().unwrap();
        fs::write(app.path().join("requirements.txt"), "-r dev.txt").unwrap();
        assert_eq!(key(app.path(), "requirements.txt").unwrap_err().to_string(), "cannot read `dev.txt`");
    }
}
