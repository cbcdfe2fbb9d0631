//! Which Python an application asks for, and which one it gets.

use crate::{
    plan::PythonChoice,
    source::SourceFiles,
    text::{problem, shown, text_of},
};
use model::Problem;

/// Minor versions of Python 3 in the base images, oldest first (Debian 13 has 3.13).
pub const AVAILABLE_MINORS: &[u32] = &[13];

/// Files that make a tree a Python application (those of pip, Poetry, Pipenv, uv, setuptools, Django and Toolforge).
pub const MARKERS: &[&str] = &[
    "requirements.txt",
    "pyproject.toml",
    "setup.py",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "uv.lock",
    "manage.py",
    ".python-version",
    "runtime.txt",
    "www/python/src/app.py",
];

/// Where pip's list of packages may lie; the first that exists counts. The second place is Toolforge's.
pub const REQUIREMENTS: &[&str] = &["requirements.txt", "www/python/src/requirements.txt"];

/// The requirements file of this commit.
pub fn requirements_path(source: &SourceFiles) -> Option<&'static str> {
    REQUIREMENTS.iter().copied().find(|path| source.has(path))
}

/// Whether `service.template`'s type names a Python: `python`, `python2`, `python3.11`.
pub(crate) fn is_python_type(kind: &str) -> bool {
    requested_by_type(kind).is_some()
}

/// Which Python the tree gets; `None` when it is no Python application. `kind` is service.template's `type`.
///
/// `.python-version` and `runtime.txt` are exact in the minor version. service.template means that version or the
/// nearest newer one, because Toolforge's types outlive their Pythons.
///
/// # Errors
/// `plan-python-version` with the file and line, and what can be had.
pub(crate) fn choose(
    source: &SourceFiles,
    kind: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<Option<PythonChoice>, Problem> {
    for file in [".python-version", "runtime.txt"] {
        if let Some(text) = text_of(source, file)? {
            let Some((line, wanted)) = wanted_line(file, text)? else { continue };
            let minor = exact(file, line, wanted, warnings)?;
            return Ok(Some(PythonChoice { version: format!("3.{minor}"), reason: format!("from {file}") }));
        }
    }
    if let Some(kind) = kind
        && let Some(requested) = requested_by_type(kind)
    {
        return nearest_newer(kind, requested, warnings).map(Some);
    }
    let root_script =
        |path: &String| !path.contains('/') && path.rsplit_once('.').is_some_and(|(_, e)| e == "py");
    if MARKERS.iter().any(|marker| source.has(marker))
        || requirements_path(source).is_some()
        || source.paths.iter().any(root_script)
    {
        return Ok(newest()
            .map(|minor| PythonChoice { version: format!("3.{minor}"), reason: "default".to_owned() }));
    }
    Ok(None)
}

fn newest() -> Option<u32> {
    AVAILABLE_MINORS.last().copied()
}

/// The one line of the file that is neither empty nor a comment.
fn wanted_line<'a>(file: &str, text: &'a str) -> Result<Option<(usize, &'a str)>, Problem> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next();
    match lines.next() {
        Some((line, _)) => Err(refused(file, line, "a second version stands here; name one")),
        None => Ok(first),
    }
}

/// The minor version of `3.13`, `3.13.2` or `python-3.13.2`, when it can be had.
fn exact(file: &str, line: usize, wanted: &str, warnings: &mut Vec<String>) -> Result<u32, Problem> {
    let unreadable = || refused(file, line, &format!("`{}` is not a Python version", shown(wanted, 40)));
    let number = wanted.strip_prefix("python-").unwrap_or(wanted);
    let parts: Option<Vec<u32>> = number.split('.').map(small_number).collect();
    let (major, minor, patch) = match parts.as_deref() {
        Some(&[major]) => (major, None, None),
        Some(&[major, minor]) => (major, Some(minor), None),
        Some(&[major, minor, patch]) => (major, Some(minor), Some(patch)),
        _ => return Err(unreadable()),
    };
    let minor = match minor {
        // `3` alone asks for any Python 3.
        None if major == 3 => newest().ok_or_else(unreadable)?,
        Some(minor) if major == 3 && AVAILABLE_MINORS.contains(&minor) => minor,
        _ => return Err(refused(file, line, &format!("Python {} is not here", shown(number, 40)))),
    };
    if patch.is_some() {
        warnings.push(format!(
            "{file} asks for Python {number}; Debian's 3.{minor} is used, with its security fixes"
        ));
    }
    Ok(minor)
}

fn small_number(text: &str) -> Option<u32> {
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The version that a webservice type names, as (major, minor): `python` was 3.4 and `python2` 2.7 on Toolforge.
fn requested_by_type(kind: &str) -> Option<(u32, u32)> {
    match kind.strip_prefix("python")? {
        "" => Some((3, 4)),
        "2" => Some((2, 7)),
        "3" => Some((3, 0)),
        version => {
            let (major, minor) = version.split_once('.')?;
            Some((small_number(major)?, small_number(minor)?))
        }
    }
}

fn nearest_newer(
    kind: &str,
    requested: (u32, u32),
    warnings: &mut Vec<String>,
) -> Result<PythonChoice, Problem> {
    let Some(minor) = AVAILABLE_MINORS.iter().copied().find(|&minor| (3, minor) >= requested) else {
        let detail = format!("service.template asks for `{}`; {}", shown(kind, 40), can_be_had());
        return Err(problem("plan-python-version", "this Python is not here", detail)
            .hint("name a version that is here, or leave `type` out"));
    };
    if requested.0 < 3 {
        warnings.push(format!(
            "service.template asks for `{kind}`: code written for Python 2 does not run on 3.{minor}"
        ));
    }
    let reason = if requested == (3, minor) {
        "from service.template".to_owned()
    } else {
        format!("nearest to {kind} of service.template")
    };
    Ok(PythonChoice { version: format!("3.{minor}"), reason })
}

fn can_be_had() -> String {
    let versions: Vec<String> = AVAILABLE_MINORS.iter().map(|minor| format!("3.{minor}")).collect();
    format!("to be had: {}", versions.join(", "))
}

fn refused(file: &str, line: usize, what: &str) -> Problem {
    let detail = format!("{file} line {line}: {what}; {}", can_be_had());
    problem("plan-python-version", "this Python is not here", detail)
        .hint(format!("write one of those into {file}, or delete the file to get the newest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, text: &str) -> Result<(String, Vec<String>), Problem> {
        let mut warnings = Vec::new();
        let source = SourceFiles::default().with(file, text);
        let choice = choose(&source, None, &mut warnings)?.unwrap();
        Ok((format!("{} ({})", choice.version, choice.reason), warnings))
    }

    fn of_type(kind: &str) -> Result<String, Problem> {
        let choice = choose(&SourceFiles::default(), Some(kind), &mut Vec::new())?.unwrap();
        Ok(format!("{} ({})", choice.version, choice.reason))
    }

    #[test]
    fn a_version_file_is_exact_in_the_minor_version() {
        assert_eq!(with(".python-version", "# why\n3.13\n").unwrap().0, "3.13 (from .python-version)");
        assert_eq!(with("runtime.txt", "python-3.13").unwrap().0, "3.13 (from runtime.txt)");
        let (text, warnings) = with(".python-version", "3.13.9\r\n").unwrap();
        assert_eq!(text, "3.13 (from .python-version)");
        assert_eq!(
            warnings,
            [".python-version asks for Python 3.13.9; Debian's 3.13 is used, with its security fixes"]
        );
    }

    #[test]
    fn another_version_is_refused_with_what_can_be_had() {
        let problem = with(".python-version", "\n3.14").unwrap_err();
        assert_eq!(problem.detail, ".python-version line 2: Python 3.14 is not here; to be had: 3.13");
        for bad in [
            "2.7",
            "3.1",
            "4",
            "pypy3.10",
            "3.13rc1",
            "3.13.1.2",
            "3.99999999999",
            "3.-1",
            "3.13 3.12",
            "3.\u{1b}",
        ] {
            assert!(with(".python-version", bad).is_err(), "{bad}");
        }
        assert!(with("runtime.txt", "3.13\n3.12").unwrap_err().detail.contains("line 2: a second version"));
    }

    #[test]
    fn a_template_type_means_that_version_or_the_nearest_newer_one() {
        assert_eq!(of_type("python3.13").unwrap(), "3.13 (from service.template)");
        assert_eq!(of_type("python3.7").unwrap(), "3.13 (nearest to python3.7 of service.template)");
        assert_eq!(of_type("python").unwrap(), "3.13 (nearest to python of service.template)");
        assert!(of_type("python3.99").unwrap_err().detail.contains("to be had: 3.13"));
        assert!(!is_python_type("pythonx") && !is_python_type("php8.2"));
    }

    #[test]
    fn a_tree_without_any_python_file_is_no_python_application() {
        let source = SourceFiles::default().with("index.js", "").with("tools/x.py", "");
        assert_eq!(choose(&source, None, &mut Vec::new()).unwrap(), None);
        let source = SourceFiles::default().with("server.py", "");
        assert_eq!(choose(&source, None, &mut Vec::new()).unwrap().unwrap().reason, "default");
    }
}
