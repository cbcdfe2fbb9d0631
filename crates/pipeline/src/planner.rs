//! Joins what the files say into one plan. Where two files speak of the same thing, the more particular one wins:
//! project.toml, then Procfile, then service.template.

use crate::{
    default_server::{self, Found},
    plan::{Command, Health, Plan, PythonChoice, Web},
    procfile, project, python, service_template,
    source::SourceFiles,
    testing,
    text::{problem, shown, text_of},
};
use model::Problem;

/// Files of package managers that the platform does not use yet, each with the command that writes requirements.txt.
const OTHER_MANAGERS: &[(&str, &str)] = &[
    ("uv.lock", "uv export --format requirements-txt -o requirements.txt"),
    ("poetry.lock", "poetry export -f requirements.txt -o requirements.txt"),
    ("Pipfile.lock", "pipenv requirements > requirements.txt"),
    ("Pipfile", "pipenv requirements > requirements.txt"),
];

/// Reads a commit into its plan.
///
/// # Errors
/// A problem `plan-…` that says which file and line, and what to do.
pub fn plan(source: &SourceFiles) -> Result<Plan, Problem> {
    let project = text_of(source, "project.toml")?.map(project::parse).transpose()?.unwrap_or_default();
    let template = text_of(source, "service.template")?.map(service_template::parse).transpose()?;
    let template = template.unwrap_or_default();
    let procfile = text_of(source, "Procfile")?.map(|text| procfile::parse(text.as_bytes())).transpose()?;
    let procfile = procfile.unwrap_or_default();
    let mut warnings = project.warnings;
    warnings.extend(template.warnings);

    let kind = template.kind.as_deref();
    let python = python::choose(source, kind, &mut warnings)?;
    let mut parts = Vec::new();
    if let Some(choice) = &python {
        parts.push(format!("python {} ({})", choice.version, choice.reason));
        if let Some(part) = packages(source, &mut warnings)? {
            parts.push(part);
        }
    }

    let (mut web, mut release, mut other_processes) = (None, None, Vec::new());
    for process in procfile {
        let command = Command { text: process.command, from: "Procfile".to_owned() };
        match process.process_type.as_str() {
            "web" => web = Some(command),
            "release" => release = Some(command),
            _ => other_processes.push(process.process_type),
        }
    }
    check_kind(kind, web.is_some(), &mut warnings)?;
    let web = match web {
        Some(command) => command,
        None => default_web(source, python.as_ref(), !other_processes.is_empty())?,
    };
    let program = procfile::program(&web.text);
    parts.push(format!("web: {program} ({})", web.from));

    if let Some(text) = project.release {
        if release.is_some() {
            warnings.push("`release` stands in Procfile and project.toml; project.toml's is used".to_owned());
        }
        release = Some(Command { text, from: "project.toml".to_owned() });
    }
    if let Some(release) = &release {
        parts.push(format!("release: {} ({})", procfile::program(&release.text), release.from));
    }
    if !other_processes.is_empty() {
        let names: Vec<String> = other_processes.iter().map(|name| format!("`{name}`")).collect();
        warnings.push(format!("recorded, but not run yet: {}; only `web` runs so far", names.join(", ")));
    }

    let tests = testing::find(source, &project.test, python.is_some(), &mut warnings);
    if let Some(tests) = &tests {
        parts.push(format!("tests: {} ({})", tests.runner, tests.command.from));
    }

    let mut launch_env = project.launch_env;
    launch_env.sort();
    Ok(Plan {
        parts,
        python,
        web: Web {
            command: web,
            memory_bytes: project.memory_bytes.or(template.memory_bytes),
            cpu_millis: project.cpu_millis.or(template.cpu_millis),
        },
        release,
        tests,
        tests_off: project.test.off,
        other_processes,
        health: Health {
            path: project.health_path.or(template.health_path),
            timeout_seconds: project.health_timeout_seconds.unwrap_or(Health::default().timeout_seconds),
        },
        build_env: project.build_env,
        launch_env,
        warnings,
    })
}

/// The Python that this commit gets, as [`plan`] chooses it; `None` when it is no Python application.
///
/// # Errors
/// As [`plan`], for the files that speak of Python.
pub fn python_choice(source: &SourceFiles) -> Result<Option<PythonChoice>, Problem> {
    let template = text_of(source, "service.template")?.map(service_template::parse).transpose()?;
    python::choose(source, template.and_then(|template| template.kind).as_deref(), &mut Vec::new())
}

/// The plan line's part about packages, or the problem that the tree needs a package manager that is not here.
fn packages(source: &SourceFiles, warnings: &mut Vec<String>) -> Result<Option<String>, Problem> {
    if let Some(path) = python::requirements_path(source) {
        return Ok(Some(format!("pip ({path})")));
    }
    let refused = |file: &str, command: &str| {
        let detail = format!("`{file}` names the packages, but there is no requirements.txt");
        problem("plan-package-manager", "packages are installed from requirements.txt so far", detail)
            .hint(format!("commit what this prints: {command}"))
    };
    if let Some((file, command)) = OTHER_MANAGERS.iter().find(|(file, _)| source.has(file)) {
        return Err(refused(file, command));
    }
    if let Some(text) = text_of(source, "pyproject.toml")? {
        match text.parse::<toml::Table>() {
            Ok(table) if names_packages(&table) => {
                return Err(refused("pyproject.toml", "pip-compile -o requirements.txt pyproject.toml"));
            }
            Ok(_) => {}
            Err(error) => {
                warnings.push(format!("pyproject.toml is not read: {}", shown(error.message(), 120)));
            }
        }
    }
    Ok(None)
}

/// Whether a pyproject.toml has dependencies (PEP 621, or Poetry's own table besides `python`).
fn names_packages(table: &toml::Table) -> bool {
    let project = table.get("project").and_then(|project| project.get("dependencies"));
    let poetry =
        table.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies"));
    project.and_then(toml::Value::as_array).is_some_and(|list| !list.is_empty())
        || poetry.and_then(toml::Value::as_table).is_some_and(|table| table.keys().any(|key| key != "python"))
}

/// A webservice type of another language needs a Procfile that says what to start.
fn check_kind(kind: Option<&str>, has_web: bool, warnings: &mut Vec<String>) -> Result<(), Problem> {
    let Some(kind) = kind.filter(|kind| *kind != "buildservice" && !python::is_python_type(kind)) else {
        return Ok(());
    };
    if has_web {
        warnings.push(format!("service.template's type `{kind}` is not used; Procfile says what runs"));
        return Ok(());
    }
    let detail = format!("service.template asks for `{kind}`; to be had: buildservice, python3.13");
    Err(problem("plan-type", "this webservice type is not here", detail)
        .hint("write a Procfile with `web: <command that listens on $PORT>`, or change the type"))
}

/// The default server for a Python application, or the problem that nothing here answers requests.
fn default_web(
    source: &SourceFiles,
    python: Option<&PythonChoice>,
    has_processes: bool,
) -> Result<Command, Problem> {
    let misspelt =
        source.paths.iter().find(|path| path.eq_ignore_ascii_case("Procfile") && *path != "Procfile");
    let no_web = |detail: String, hint: &str| {
        let hint = match misspelt {
            Some(path) => format!("`{}` must be named `Procfile`", shown(path, 40)),
            None => hint.to_owned(),
        };
        problem("plan-no-web", "nothing here answers requests", detail).hint(hint)
    };
    if python.is_none() {
        if has_processes {
            return Err(no_web(
                "Procfile has no `web` line".to_owned(),
                "add a line `web: <command that listens on $PORT>`",
            ));
        }
        let detail = format!(
            "looked for Procfile, {} and *.py, found {}",
            python::MARKERS.join(", "),
            root_entries(source)
        );
        return Err(problem("plan-no-program", "nothing here that the platform can build", detail)
            .hint("add a Procfile with `web: <command that listens on $PORT>`; Python is the language of the platform so far"));
    }
    match default_server::find(source) {
        Found::App(app) => Ok(Command { text: app.gunicorn().join(" "), from: app.file }),
        Found::Asgi { file } => Err(no_web(
            format!("`{file}` holds an ASGI application, which the default server (gunicorn) cannot serve"),
            "add uvicorn to requirements.txt and a Procfile with `web: uvicorn --host 0.0.0.0 --port $PORT <module>:app`",
        )),
        Found::Nothing { read } => {
            let looked = if read.is_empty() {
                "there is no app.py, wsgi.py, main.py, application.py or <package>/wsgi.py".to_owned()
            } else {
                format!("no `app = …` or `application = …` at the start of a line in {}", read.join(", "))
            };
            Err(no_web(
                format!("no `web` line in a Procfile, and {looked}"),
                "add a Procfile with `web: gunicorn <module>:<object>`, or any command that listens on $PORT",
            ))
        }
    }
}

/// The first few names in the root, for people.
fn root_entries(source: &SourceFiles) -> String {
    let mut names: Vec<&str> = source.paths.iter().filter_map(|path| path.split('/').next()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return "no file".to_owned();
    }
    let more = if names.len() > 8 { ", …" } else { "" };
    let names: Vec<String> = names.iter().take(8).map(|name| shown(name, 40)).collect();
    format!("{}{more}", names.join(", "))
}
