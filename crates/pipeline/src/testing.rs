//! How a source tree is tested, by its own files: project.toml, pytest's configuration, tox.ini, `tests/`. What its
//! tests need besides the packages of production: [`packages`].

mod ini;
mod packages;
mod tox;

pub use packages::{TEST_REQUIREMENTS, TestPackages, packages};

use crate::{plan::Command, procfile::program, project::TestChoice, source::SourceFiles, text::text_of};
use serde::{Deserialize, Serialize};

/// How long tests may take when project.toml does not say, and at most, in seconds.
pub const DEFAULT_SECONDS: u32 = 600;
pub const MAX_SECONDS: u32 = 1800;

/// Installed for tests when pytest is configured and no file names it.
pub const PYTEST: &str = "pytest==9.0.2";

/// Files that configure pytest by being there.
const PYTEST_FILES: &[&str] =
    &["pytest.ini", ".pytest.ini", "conftest.py", "tests/conftest.py", "test/conftest.py"];
/// Where tests lie.
const DIRECTORIES: &[&str] = &["tests", "test"];

/// The tests of a source tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tests {
    /// For `bash -c`, in the source's root.
    pub command: Command,
    /// `pytest`, `unittest`, or the program that project.toml or tox.ini starts; printable.
    pub runner: String,
    /// How long they may take, in seconds.
    pub timeout_seconds: u32,
}

/// Finds the tests; `is_python` says whether the tree is a Python application.
pub(crate) fn find(
    source: &SourceFiles,
    choice: &TestChoice,
    is_python: bool,
    warnings: &mut Vec<String>,
) -> Option<Tests> {
    let timeout_seconds = choice.timeout_seconds.unwrap_or(DEFAULT_SECONDS);
    let tests = |text: &str, from: &str, runner: String| Tests {
        command: Command { text: text.to_owned(), from: from.to_owned() },
        runner,
        timeout_seconds,
    };
    if choice.off {
        return None;
    }
    if let Some(text) = &choice.command {
        return Some(tests(text, "project.toml", runner_of(text)));
    }
    if !is_python {
        return None;
    }
    let pytest = |from: &str| Some(tests("python -m pytest", from, "pytest".to_owned()));
    if let Some(file) = pytest_configuration(source) {
        return pytest(file);
    }
    match tox::read(source) {
        Some(Ok(tox)) if !tox.commands.is_empty() => {
            let text = in_order(&tox.commands);
            return Some(tests(&text, "tox.ini", runner_of(&tox.commands[0])));
        }
        Some(Err(what)) => warnings.push(format!(
            "tox.ini's commands are not run: {what}; say `test = \"…\"` in project.toml under [_.metadata.windlass]"
        )),
        _ => {}
    }
    let directory = DIRECTORIES.iter().copied().find(|directory| has_tests(source, directory));
    let in_root = source.paths.iter().any(|path| !path.contains('/') && is_test(path));
    if directory.is_some() || in_root {
        let named = packages(source).and_then(|found| found.names("pytest").then_some(found.from));
        if let Some(from) = named.or_else(|| names_pytest(source).map(str::to_owned)) {
            return pytest(&from);
        }
    }
    let directory = directory?;
    // A package is imported from the root; files without `__init__.py` are not one.
    let text = if source.has(&format!("{directory}/__init__.py")) {
        format!("python -m unittest discover -s {directory} -t .")
    } else {
        format!("python -m unittest discover -s {directory}")
    };
    Some(tests(&text, &format!("{directory}/"), "unittest".to_owned()))
}

/// Several commands, the first that fails ends them.
pub(crate) fn in_order(commands: &[String]) -> String {
    match commands {
        [one] => one.clone(),
        all => format!("set -e\n{}", all.join("\n")),
    }
}

/// `pytest` of `python -m pytest -q`.
fn runner_of(command: &str) -> String {
    let mut words = command.split_whitespace();
    while let Some(word) = words.next() {
        if word == "-m" {
            return program(words.next().unwrap_or(word));
        }
    }
    program(command)
}

/// The file that configures pytest (docs.pytest.org, "Configuration file formats"), or a conftest.py.
pub fn pytest_configuration(source: &SourceFiles) -> Option<&'static str> {
    if let Some(file) = PYTEST_FILES.iter().copied().find(|file| source.has(file)) {
        return Some(file);
    }
    let pyproject = lenient(source, "pyproject.toml").and_then(|text| text.parse::<toml::Table>().ok());
    let tool = pyproject.as_ref().and_then(|table| table.get("tool")?.get("pytest"));
    if tool.is_some() {
        return Some("pyproject.toml");
    }
    [("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")].into_iter().find_map(|(file, section)| {
        let text = lenient(source, file)?;
        ini::sections(text).iter().any(|(name, _)| name == section).then_some(file)
    })
}

/// The file of production's packages that names pytest.
fn names_pytest(source: &SourceFiles) -> Option<&'static str> {
    let path = crate::python::requirements_path(source)?;
    let text = lenient(source, path)?;
    text.lines().any(|line| packages::name_of(line) == "pytest").then_some(path)
}

fn has_tests(source: &SourceFiles, directory: &str) -> bool {
    source
        .paths
        .iter()
        .any(|path| path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/')).is_some_and(is_test))
}

/// Whether pytest and unittest take this for a file of tests.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name != "tests.py" && name.starts_with("test") && name.strip_suffix(".py").is_some()
}

/// The text of a file that is only looked into: what cannot be read says nothing.
fn lenient<'a>(source: &'a SourceFiles, path: &str) -> Option<&'a str> {
    text_of(source, path).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<(String, String)> {
        let source =
            files.iter().fold(SourceFiles::default(), |source, (path, text)| source.with(path, *text));
        let tests = find(&source, &TestChoice::default(), true, &mut Vec::new())?;
        assert_eq!(tests.timeout_seconds, 600);
        Some((tests.command.text, tests.command.from))
    }

    fn pytest_from(from: &str) -> (String, String) {
        ("python -m pytest".to_owned(), from.to_owned())
    }

    #[test]
    fn pytest_is_found_by_its_configuration() {
        assert_eq!(found(&[("pytest.ini", "[pytest]")]), Some(pytest_from("pytest.ini")));
        assert_eq!(found(&[("tests/conftest.py", "")]), Some(pytest_from("tests/conftest.py")));
        assert_eq!(
            found(&[("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-q'")]),
            Some(pytest_from("pyproject.toml"))
        );
        assert_eq!(found(&[("setup.cfg", "[metadata]\n[tool:pytest]\nx=1")]), Some(pytest_from("setup.cfg")));
        assert_eq!(found(&[("tox.ini", "[pytest]\n")]), Some(pytest_from("tox.ini")));
        assert_eq!(found(&[("pyproject.toml", "[tool.black]"), ("setup.cfg", "[pytest]")]), None);
    }

    #[test]
    fn tests_are_pytests_when_a_file_of_packages_names_it_and_else_unittests() {
        let test = ("tests/test_count.py", "");
        assert_eq!(
            found(&[test, ("requirements-dev.txt", "# dev\nPyTest >= 8\n")]),
            Some(pytest_from("requirements-dev.txt"))
        );
        assert_eq!(
            found(&[test, ("requirements.txt", "flask\npytest")]),
            Some(pytest_from("requirements.txt"))
        );
        let unittest = |text: &str| Some((text.to_owned(), "tests/".to_owned()));
        assert_eq!(
            found(&[test, ("requirements-dev.txt", "black")]),
            unittest("python -m unittest discover -s tests")
        );
        assert_eq!(
            found(&[test, ("tests/__init__.py", "")]),
            unittest("python -m unittest discover -s tests -t .")
        );
        assert_eq!(found(&[("tests/data.json", ""), ("test_scratch.py", ""), ("app.py", "")]), None);
        assert_eq!(
            found(&[("test_a.py", ""), ("dev-requirements.txt", "pytest")]),
            Some(pytest_from("dev-requirements.txt"))
        );
    }

    #[test]
    fn tox_says_what_its_default_environment_runs() {
        let tox = "[tox]\nenvlist = py313\n[testenv]\ndeps = -rdev.txt\ncommands =\n  - flake8\n  pytest {posargs:tests}\n";
        assert_eq!(
            found(&[("tox.ini", tox)]),
            Some(("set -e\nflake8 || true\npytest tests".to_owned(), "tox.ini".to_owned()))
        );
    }

    #[test]
    fn project_toml_has_the_first_word_and_may_say_no() {
        let source = SourceFiles::default().with("pytest.ini", "");
        let mut warnings = Vec::new();
        let choice = TestChoice { command: Some("make check".into()), ..TestChoice::default() };
        let tests = find(&source, &choice, false, &mut warnings).unwrap();
        assert_eq!((tests.command.text.as_str(), tests.runner.as_str()), ("make check", "make"));
        let off = TestChoice { off: true, ..TestChoice::default() };
        assert_eq!(find(&source, &off, true, &mut warnings), None);
        assert_eq!(runner_of("python -m pytest -q"), "pytest");
        assert_eq!(runner_of("./run-tests"), "run-tests");
    }
}
