//! tox.ini's default environment: `[testenv]` with its commands and its dependencies (tox.wiki, "Configuration").
//! tox itself is not run: it would make an environment of its own beside the one that is there.

use super::{ini, lenient};
use crate::{source::SourceFiles, text::shown};

/// What the default environment runs and installs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tox {
    /// For a shell, in order.
    pub(super) commands: Vec<String>,
    /// Lines of a requirements file.
    pub(super) deps: Vec<String>,
}

/// `None`: there is no default environment; `Err`: it says something that only tox understands.
pub(super) fn read(source: &SourceFiles) -> Option<Result<Tox, String>> {
    let sections = ini::sections(lenient(source, "tox.ini")?);
    let (_, keys) = sections.into_iter().find(|(name, _)| name == "testenv")?;
    let lines = |name: &str| {
        keys.iter().find(|(key, _)| key == name).map(|(_, lines)| lines.clone()).unwrap_or_default()
    };
    let resolve = || {
        let commands =
            joined(&lines("commands")).iter().map(|line| command(line)).collect::<Result<_, _>>()?;
        let deps = lines("deps");
        let deps = deps.iter().filter(|line| !is_conditional(line)).map(|line| substitute(line));
        Ok(Tox { commands, deps: deps.collect::<Result<_, _>>()? })
    };
    Some(resolve())
}

/// Lines that end in a backslash go on in the next.
fn joined(lines: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in lines {
        let (text, more) = match line.strip_suffix('\\') {
            Some(text) => (text.trim_end(), true),
            None => (line.as_str(), false),
        };
        match all.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.push(' ');
                last.push_str(text);
            }
            None => all.push(text.to_owned()),
        }
        goes_on = more;
    }
    all
}

/// A leading `-` means that a failure does not count.
fn command(line: &str) -> Result<String, String> {
    match line.strip_prefix('-') {
        Some(rest) if rest.starts_with(' ') => Ok(format!("{} || true", substitute(rest.trim())?)),
        _ => substitute(line),
    }
}

/// `py39: package`: for some environments only.
fn is_conditional(line: &str) -> bool {
    line.split_once(':').is_some_and(|(factor, rest)| {
        rest.starts_with([' ', '\t'])
            && factor.bytes().all(|b| b.is_ascii_alphanumeric() || b"{},-_!.".contains(&b))
    })
}

/// Replaces what tox would: arguments that nobody gives, the interpreter, the root.
fn substitute(line: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = after.split_once('}').ok_or_else(|| unknown(after))?;
        match name {
            "posargs" => {}
            "envpython" => out.push_str("python"),
            "toxinidir" | "tox_root" => out.push('.'),
            "/" => out.push('/'),
            _ => out.push_str(name.strip_prefix("posargs:").ok_or_else(|| unknown(name))?),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out.trim_end().to_owned())
}

fn unknown(name: &str) -> String {
    format!("`{{{}}}` is understood by tox alone", shown(name, 40))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tox(text: &str) -> Option<Result<Tox, String>> {
        read(&SourceFiles::default().with("tox.ini", text))
    }

    #[test]
    fn the_default_environment_is_read_as_tox_reads_it() {
        let text = "[testenv]\ndeps =\n  -r{toxinidir}/requirements-dev.txt\n  py39: old\n  pytest\n\
                    commands =\n  {envpython} -m pytest \\\n    {posargs}\n[testenv:lint]\ncommands = flake8\n";
        let expected = Tox {
            commands: vec!["python -m pytest".into()],
            deps: vec!["-r./requirements-dev.txt".into(), "pytest".into()],
        };
        assert_eq!(tox(text), Some(Ok(expected)));
        assert_eq!(tox("[tox]\nenvlist = py313"), None);
        assert_eq!(tox("[testenv]\n"), Some(Ok(Tox::default())));
    }

    #[test]
    fn what_only_tox_understands_is_told() {
        for text in ["{[base]commands}", "pytest {env:ARGS:-q}", "pytest {posargs"] {
            let error = tox(&format!("[testenv]\ncommands = {text}")).unwrap().unwrap_err();
            assert!(error.contains("understood by tox alone"), "{error}");
        }
    }
}
