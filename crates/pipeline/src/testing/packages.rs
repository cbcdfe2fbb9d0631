//! Which packages tests need besides those of production. The first place that is there counts: tox.ini when its
//! commands are run, a requirements file, a dependency group (PEP 735), an extra (PEP 621).

use super::{lenient, pytest_configuration, tox};
use crate::source::SourceFiles;
use std::collections::BTreeSet;

/// Requirements files of tests, the first that exists counts.
pub const TEST_REQUIREMENTS: &[&str] = &[
    "requirements-test.txt",
    "requirements_test.txt",
    "test-requirements.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "requirements/dev.txt",
    "test.txt",
];
/// Names of dependency groups and extras, the first that exists counts.
const GROUPS: &[&str] = &["test", "tests", "testing", "dev"];
/// Entries of one group, those of others that it includes counted; more would be a circle or a joke.
const MAX_ENTRIES: usize = 1000;

/// What is installed for tests only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestPackages {
    /// Requirements files, relative to the root.
    pub files: Vec<String>,
    /// Requirements (PEP 508), none of which begins with `-`.
    pub packages: Vec<String>,
    /// For people: the file that says so.
    pub from: String,
    /// Names of distributions as far as the files at hand tell.
    named: BTreeSet<String>,
}

impl TestPackages {
    /// Whether this distribution is named, as far as the files at hand tell.
    pub fn names(&self, package: &str) -> bool {
        self.named.contains(package)
    }
}

/// What this commit's tests need. `None`: nothing names anything.
pub fn packages(source: &SourceFiles) -> Option<TestPackages> {
    let of_tox = || {
        let tox = tox::read(source)?.ok()?;
        let used = pytest_configuration(source).is_none() && !tox.commands.is_empty() && !tox.deps.is_empty();
        used.then(|| of_lines(source, &tox.deps, "tox.ini"))
    };
    of_tox().or_else(|| of_file(source)).or_else(|| of_pyproject(source))
}

fn of_file(source: &SourceFiles) -> Option<TestPackages> {
    let path = TEST_REQUIREMENTS.iter().copied().find(|path| {
        // A file of this name may be anything.
        source.has(path)
            && (*path != "test.txt"
                || lenient(source, path).is_some_and(|text| text.lines().all(is_requirement)))
    })?;
    let named = lenient(source, path).into_iter().flat_map(str::lines).map(name_of).collect();
    Some(TestPackages {
        files: vec![path.to_owned()],
        named,
        from: path.to_owned(),
        ..TestPackages::default()
    })
}

/// Lines of a requirements file that stand elsewhere.
fn of_lines(source: &SourceFiles, lines: &[String], from: &str) -> TestPackages {
    let mut found = TestPackages { from: from.to_owned(), ..TestPackages::default() };
    for line in lines {
        if let Some(file) = line.strip_prefix("-r") {
            let file = file.trim().trim_start_matches("./");
            found.named.extend(lenient(source, file).into_iter().flat_map(str::lines).map(name_of));
            found.files.push(file.to_owned());
        } else if !line.starts_with('-') && !line.starts_with('.') {
            found.named.insert(name_of(line));
            found.packages.push(line.clone());
        }
    }
    found
}

fn of_pyproject(source: &SourceFiles) -> Option<TestPackages> {
    let table: toml::Table = lenient(source, "pyproject.toml")?.parse().ok()?;
    let groups = table.get("dependency-groups").and_then(toml::Value::as_table);
    let project = table.get("project").and_then(toml::Value::as_table);
    let extras = project.and_then(|project| project.get("optional-dependencies")?.as_table());
    let own = project.and_then(|project| project.get("name")?.as_str()).unwrap_or_default();
    for table in [groups, extras].into_iter().flatten() {
        let Some(name) = GROUPS.iter().find(|name| entries(table, name).is_some()) else { continue };
        let mut found = TestPackages { from: "pyproject.toml".to_owned(), ..TestPackages::default() };
        collect(table, name, own, &mut BTreeSet::new(), &mut found.packages);
        found.named = found.packages.iter().map(|package| name_of(package)).collect();
        return Some(found);
    }
    None
}

/// A group by its name, whatever its spelling.
fn entries<'t>(table: &'t toml::Table, name: &str) -> Option<&'t Vec<toml::Value>> {
    table.iter().find(|(key, _)| normalised(key) == normalised(name))?.1.as_array()
}

/// The requirements of a group and of those that it includes: `{include-group = "…"}`, or of an extra `name[other]`.
fn collect(
    table: &toml::Table,
    name: &str,
    own: &str,
    seen: &mut BTreeSet<String>,
    packages: &mut Vec<String>,
) {
    if !seen.insert(normalised(name)) {
        return;
    }
    for entry in entries(table, name).into_iter().flatten() {
        if packages.len() >= MAX_ENTRIES {
            return;
        }
        if let Some(included) = entry.get("include-group").and_then(toml::Value::as_str) {
            collect(table, included, own, seen, packages);
            continue;
        }
        let Some(requirement) = entry.as_str().map(str::trim).filter(|text| !text.starts_with('-')) else {
            continue;
        };
        match requirement.split_once('[') {
            Some((name, rest)) if !own.is_empty() && normalised(name) == normalised(own) => {
                for extra in rest.split(']').next().unwrap_or_default().split(',') {
                    collect(table, extra.trim(), own, seen, packages);
                }
            }
            _ => packages.push(requirement.to_owned()),
        }
    }
}

/// The distribution that a line of a requirements file names, normalised; empty when none.
pub(super) fn name_of(line: &str) -> String {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(line.len());
    normalised(line[..end].trim())
}

/// As the index compares names (packaging.python.org, "Name normalization").
fn normalised(name: &str) -> String {
    let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

/// Whether a line may stand in a requirements file.
fn is_requirement(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with('-') {
        return true;
    }
    let name = line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(line.len());
    let rest = line[name..].trim_start();
    name > 0 && (rest.is_empty() || rest.starts_with(['=', '<', '>', '~', '!', '[', ';', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Option<TestPackages> {
        packages(&files.iter().fold(SourceFiles::default(), |source, (path, text)| source.with(path, *text)))
    }

    #[test]
    fn a_requirements_file_comes_before_groups_and_those_before_extras() {
        let pyproject = "[project]\nname = 'My.Tool'\n[project.optional-dependencies]\ndev = ['my-tool[lint]', 'pytest>8']\n\
                         lint = ['ruff', 'my_tool[dev]']\n";
        let found = of(&[("pyproject.toml", pyproject)]).unwrap();
        assert_eq!(found.packages, ["ruff", "pytest>8"]);
        let groups = "[dependency-groups]\nbase = ['coverage', '-r evil']\ntest = ['PyTest', {include-group = 'Base'}, {include-group = 'test'}]\n";
        let both = format!("{groups}{pyproject}");
        let found = of(&[("pyproject.toml", &both)]).unwrap();
        assert_eq!(found.packages, ["PyTest", "coverage"]);
        assert!(found.names("pytest") && !found.names("ruff"));
        let found =
            of(&[("pyproject.toml", &both), ("requirements-dev.txt", "pytest-cov\n"), ("test.txt", "x")]);
        let found = found.unwrap();
        assert_eq!(
            (found.files, found.from.as_str()),
            (vec!["requirements-dev.txt".to_owned()], "requirements-dev.txt")
        );
        assert_eq!(of(&[("pyproject.toml", "[project]\nname = 'x'"), ("requirements.txt", "flask")]), None);
        assert_eq!(of(&[("pyproject.toml", "not toml")]), None);
    }

    #[test]
    fn a_text_that_is_no_list_of_packages_is_not_installed() {
        assert_eq!(of(&[("test.txt", "Hello world, this is a fixture.\n")]), None);
        let found =
            of(&[("test.txt", "# for tests\npytest>=8 ; python_version > '3'\n-r base.txt\n")]).unwrap();
        assert!(found.names("pytest"));
    }

    #[test]
    fn toxs_dependencies_count_when_its_commands_run() {
        let tox = "[testenv]\ndeps = -r dev.txt\n  nose2\ncommands = nose2\n";
        let found = of(&[("tox.ini", tox), ("requirements-dev.txt", "pytest")]).unwrap();
        assert_eq!((found.files, found.packages), (vec!["dev.txt".to_owned()], vec!["nose2".to_owned()]));
        let found = of(&[("tox.ini", tox), ("requirements-dev.txt", "pytest"), ("pytest.ini", "")]).unwrap();
        assert_eq!(found.from, "requirements-dev.txt");
    }
}
