//! `project.toml`: the project descriptor of buildpacks.io (project descriptor specification 0.2), of which the
//! platform reads `[[io.buildpacks.build.env]]` and its own table `[_.metadata.windlass]`.

use crate::{
    environment, quantity, testing,
    text::{did_you_mean, problem, shown},
};
use model::Problem;
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

const OURS: &str = "_.metadata.windlass";
const OUR_KEYS: &[&str] = &["schema", "test", "release", "health", "processes", "env"];
/// Tables of other platforms that people bring along and that change nothing here.
const NOT_READ: &[(&[&str], &str)] = &[
    (&["com", "heroku", "buildpacks", "deb-packages"], "the packages it lists are not installed yet"),
    (&["io", "buildpacks", "group"], "the platform's own buildpacks build this tool"),
    (&["io", "buildpacks", "builder"], "the platform's own builder builds this tool"),
    (&["io", "buildpacks", "exclude"], "every file of the commit is in the image"),
    (&["io", "buildpacks", "include"], "every file of the commit is in the image"),
];

/// What a project.toml asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Project {
    pub(crate) release: Option<String>,
    pub(crate) test: TestChoice,
    pub(crate) health_path: Option<String>,
    pub(crate) health_timeout_seconds: Option<u32>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) cpu_millis: Option<u32>,
    pub(crate) build_env: Vec<(String, String)>,
    pub(crate) launch_env: Vec<(String, String)>,
    pub(crate) warnings: Vec<String>,
}

/// What a project.toml says of tests.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TestChoice {
    /// `test = false`: there are none to be run, whatever the tree holds.
    pub(crate) off: bool,
    pub(crate) command: Option<String>,
    pub(crate) timeout_seconds: Option<u32>,
}

/// Reads a project.toml.
///
/// # Errors
/// `plan-project-file` with the line.
pub(crate) fn parse(text: &str) -> Result<Project, Problem> {
    let reader = Reader { text };
    let document = DeTable::parse(text).map_err(|error| {
        reader.bad(error.span().as_ref().unwrap_or(&(0..0)), shown(error.message(), 200).trim())
    })?;
    let root = document.get_ref();
    let mut project = Project::default();
    for (path, why) in NOT_READ {
        if let Some(value) = lookup(root, path) {
            let line = reader.line(&value.span());
            project
                .warnings
                .push(format!("project.toml line {line}: `{}` is not used: {why}", path.join(".")));
        }
    }
    if let Some(value) = lookup(root, &["io", "buildpacks", "build", "env"]) {
        reader.build_env(value, &mut project)?;
    }
    if let Some(value) = lookup(root, &["_", "metadata", "windlass"]) {
        reader.ours(value, &mut project)?;
    }
    Ok(project)
}

type Value<'a> = Spanned<DeValue<'a>>;
/// A key, where it stands, and its value.
type Entry<'v, 'a> = (&'v str, Range<usize>, &'v Value<'a>);

fn child<'t, 'a>(table: &'t DeTable<'a>, name: &str) -> Option<&'t Value<'a>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

fn lookup<'t, 'a>(root: &'t DeTable<'a>, path: &[&str]) -> Option<&'t Value<'a>> {
    let (last, parents) = path.split_last()?;
    let table = parents.iter().try_fold(root, |table, name| match child(table, name)?.get_ref() {
        DeValue::Table(inner) => Some(inner),
        _ => None,
    })?;
    child(table, last)
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|&b| b == b'\n').count()
    }

    fn bad(&self, span: &Range<usize>, what: &str) -> Problem {
        let detail = format!("project.toml line {}: {what}", self.line(span));
        problem("plan-project-file", "project.toml cannot be used", detail).hint(
            "project.toml is described at https://buildpacks.io/docs/reference/config/project-descriptor/",
        )
    }

    fn ours(&self, value: &Value<'_>, project: &mut Project) -> Result<(), Problem> {
        for (key, span, value) in self.entries(value, OURS)? {
            match key {
                "schema" => {
                    if self.integer(value, "schema")? != 1 {
                        return Err(self.bad(&value.span(), "this platform knows `schema = 1` only"));
                    }
                }
                "test" => self.test(value, project)?,
                "release" => project.release = Some(self.command(value, "release")?),
                "health" => self.health(value, project)?,
                "processes" => self.processes(value, project)?,
                "env" => {
                    for (name, span, value) in self.entries(value, "env")? {
                        let text = self.string(value, name)?;
                        environment::check_launch(name, text).map_err(|what| self.bad(&span, &what))?;
                        project.launch_env.push((name.to_owned(), text.to_owned()));
                    }
                }
                _ => self.unknown(OURS, key, &span, OUR_KEYS, project),
            }
        }
        Ok(())
    }

    /// `false`, a command line, a list of them, or a table with `command` and `timeout_seconds`.
    fn test(&self, value: &Value<'_>, project: &mut Project) -> Result<(), Problem> {
        match value.get_ref() {
            DeValue::Boolean(false) => project.test.off = true,
            DeValue::Boolean(true) => {
                return Err(self.bad(&value.span(), "`test` must be a command line or `false`"));
            }
            DeValue::Table(_) => {
                for (key, span, value) in self.entries(value, "test")? {
                    match key {
                        "command" => project.test.command = Some(self.commands(value, "command")?),
                        "timeout_seconds" => {
                            project.test.timeout_seconds = Some(self.seconds(value, testing::MAX_SECONDS)?);
                        }
                        _ => self.unknown("test", key, &span, &["command", "timeout_seconds"], project),
                    }
                }
            }
            _ => project.test.command = Some(self.commands(value, "test")?),
        }
        Ok(())
    }

    /// One command line or several.
    fn commands(&self, value: &Value<'_>, name: &str) -> Result<String, Problem> {
        let DeValue::Array(lines) = value.get_ref() else { return self.command(value, name) };
        let lines: Vec<String> =
            lines.iter().map(|line| self.command(line, name)).collect::<Result<_, _>>()?;
        if lines.is_empty() {
            return Err(self.bad(&value.span(), &format!("`{name}` has no command line")));
        }
        Ok(testing::in_order(&lines))
    }

    fn seconds(&self, value: &Value<'_>, most: u32) -> Result<u32, Problem> {
        let seconds = self.integer(value, "timeout_seconds")?;
        let seconds = u32::try_from(seconds).ok().filter(|seconds| (1..=most).contains(seconds));
        seconds.ok_or_else(|| {
            self.bad(&value.span(), &format!("`timeout_seconds` must be between 1 and {most}"))
        })
    }

    fn health(&self, value: &Value<'_>, project: &mut Project) -> Result<(), Problem> {
        for (key, span, value) in self.entries(value, "health")? {
            match key {
                "path" => {
                    let path = self.string(value, "path")?;
                    environment::check_health_path(path).map_err(|what| self.bad(&value.span(), &what))?;
                    project.health_path = Some(path.to_owned());
                }
                "timeout_seconds" => {
                    project.health_timeout_seconds = Some(self.seconds(value, 600)?);
                }
                _ => self.unknown("health", key, &span, &["path", "timeout_seconds"], project),
            }
        }
        Ok(())
    }

    fn processes(&self, value: &Value<'_>, project: &mut Project) -> Result<(), Problem> {
        for (process, span, value) in self.entries(value, "processes")? {
            if process != "web" {
                let (line, process) = (self.line(&span), shown(process, 60));
                project
                    .warnings
                    .push(format!("project.toml line {line}: `{process}` is not run yet, only `web`"));
                continue;
            }
            for (key, span, value) in self.entries(value, "processes.web")? {
                match key {
                    "memory" => {
                        let amount = quantity::memory_bytes(self.string(value, "memory")?);
                        project.memory_bytes = Some(amount.map_err(|what| self.bad(&value.span(), &what))?);
                    }
                    "cpu" => {
                        let amount = match value.get_ref() {
                            DeValue::Float(float) => quantity::cpu_millis(float.as_str()),
                            DeValue::Integer(integer) => quantity::cpu_millis(integer.as_str()),
                            _ => quantity::cpu_millis(self.string(value, "cpu")?),
                        };
                        project.cpu_millis = Some(amount.map_err(|what| self.bad(&value.span(), &what))?);
                    }
                    _ => self.unknown("processes.web", key, &span, &["memory", "cpu"], project),
                }
            }
        }
        Ok(())
    }

    fn build_env(&self, value: &Value<'_>, project: &mut Project) -> Result<(), Problem> {
        let DeValue::Array(rows) = value.get_ref() else {
            return Err(self.bad(&value.span(), "write each build variable as `[[io.buildpacks.build.env]]`"));
        };
        for row in rows {
            let (mut name, mut text) = (None, None);
            for (key, span, value) in self.entries(row, "io.buildpacks.build.env")? {
                match key {
                    "name" => name = Some(self.string(value, "name")?),
                    "value" => text = Some(self.string(value, "value")?),
                    _ => self.unknown("io.buildpacks.build.env", key, &span, &["name", "value"], project),
                }
            }
            let (Some(name), Some(text)) = (name, text) else {
                return Err(self.bad(&row.span(), "a build variable needs `name` and `value`"));
            };
            environment::check_build(name, text).map_err(|what| self.bad(&row.span(), &what))?;
            project.build_env.push((name.to_owned(), text.to_owned()));
        }
        Ok(())
    }

    fn unknown(&self, table: &str, key: &str, span: &Range<usize>, known: &[&str], project: &mut Project) {
        let (line, shown) = (self.line(span), shown(key, 60));
        let near = did_you_mean(key, known);
        project.warnings.push(format!("project.toml line {line}: unknown key `{shown}` in `{table}`{near}"));
    }

    /// The entries of a table in the order of the file.
    fn entries<'v, 'a>(&self, value: &'v Value<'a>, name: &str) -> Result<Vec<Entry<'v, 'a>>, Problem> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.bad(&value.span(), &format!("`{name}` must be a table")));
        };
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        Ok(entries)
    }

    fn string<'v>(&self, value: &'v Value<'_>, name: &str) -> Result<&'v str, Problem> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.as_ref()),
            _ => Err(self.bad(&value.span(), &format!("`{}` must be text in quotes", shown(name, 60)))),
        }
    }

    fn command(&self, value: &Value<'_>, name: &str) -> Result<String, Problem> {
        let text = self.string(value, name)?.trim();
        if text.is_empty() || text.len() > 8 * 1024 || text.contains('\0') {
            return Err(self.bad(&value.span(), &format!("`{name}` must be a command line of at most 8 KiB")));
        }
        Ok(text.to_owned())
    }

    fn integer(&self, value: &Value<'_>, name: &str) -> Result<i64, Problem> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        number.ok_or_else(|| self.bad(&value.span(), &format!("`{name}` must be a whole number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().detail
    }

    #[test]
    fn everything_that_the_platform_reads_is_found() {
        let project = parse(
            "[_]\nschema-version = '0.2'\n[_.metadata.windlass]\nschema = 1\nrelease = 'python manage.py migrate'\n\
             [_.metadata.windlass.health]\npath = '/healthz'\ntimeout_seconds = 90\n\
             [_.metadata.windlass.processes.web]\nmemory = '1GiB'\ncpu = 0.5\n\
             [_.metadata.windlass.env]\nB = 'two'\nA = 'one'\n\
             [[io.buildpacks.build.env]]\nname = 'RUSTFLAGS'\nvalue = '-C x'\n",
        )
        .unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            project,
            Project {
                release: Some("python manage.py migrate".into()),
                test: TestChoice::default(),
                health_path: Some("/healthz".into()),
                health_timeout_seconds: Some(90),
                memory_bytes: Some(1 << 30),
                cpu_millis: Some(500),
                build_env: vec![pair("RUSTFLAGS", "-C x")],
                launch_env: vec![pair("B", "two"), pair("A", "one")],
                warnings: vec![],
            }
        );
    }

    #[test]
    fn an_unknown_key_is_a_warning_that_guesses_what_was_meant() {
        let project =
            parse("[_.metadata.windlass]\nrelaese = 'x'\n[_.metadata.windlass.health]\nurl = '/'").unwrap();
        assert_eq!(
            project.warnings,
            [
                "project.toml line 2: unknown key `relaese` in `_.metadata.windlass` (did you mean `release`?)",
                "project.toml line 4: unknown key `url` in `health`",
            ]
        );
    }

    #[test]
    fn tests_are_a_command_a_list_a_table_or_nothing() {
        let of = |text: &str| parse(&format!("[_.metadata.windlass]\n{text}")).unwrap().test;
        let command = |text: &str| Some(text.to_owned());
        assert_eq!(of("test = 'pytest -q'").command, command("pytest -q"));
        assert_eq!(of("test = ['ruff check', 'pytest']").command, command("set -e\nruff check\npytest"));
        let table = of("test = { command = 'make check', timeout_seconds = 1800 }");
        assert_eq!((table.command, table.timeout_seconds), (command("make check"), Some(1800)));
        assert_eq!(
            of("test.timeout_seconds = 5"),
            TestChoice { timeout_seconds: Some(5), ..TestChoice::default() }
        );
        assert!(of("test = false").off);
        let ours = |text: &str| error(&format!("[_.metadata.windlass]\n{text}"));
        assert!(ours("test = true").contains("a command line or `false`"));
        assert!(ours("test = []").contains("has no command line"));
        assert!(ours("test = ''").contains("must be a command line"));
        assert!(ours("test.timeout_seconds = 1801").contains("between 1 and 1800"));
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_line() {
        assert!(error("a = 1\nb = ").starts_with("project.toml line 2: "));
        let ours = |text: &str| error(&format!("[_.metadata.windlass]\n{text}"));
        assert_eq!(ours("schema = 2"), "project.toml line 2: this platform knows `schema = 1` only");
        assert_eq!(ours("release = 5"), "project.toml line 2: `release` must be text in quotes");
        assert_eq!(ours("health = 5"), "project.toml line 2: `health` must be a table");
        assert!(ours("health.timeout_seconds = 0").contains("between 1 and 600"));
        assert!(ours("health.path = 'x'").contains("must start with `/`"));
        assert!(ours("processes.web.memory = '1 byte'").contains("like `512MiB`"));
        assert!(ours("env.PORT = '1'").contains("set by the platform"));
        assert!(error("[[io.buildpacks.build.env]]\nname = 'A'").contains("needs `name` and `value`"));
        assert!(error("io.buildpacks.build.env = 1").contains("write each build variable"));
        assert!(error("[_.metadata]\nwindlass = []").contains("must be a table"));
    }
}
