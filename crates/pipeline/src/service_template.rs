//! Toolforge's `service.template`: a flat YAML mapping of defaults for `webservice start`
//! (wikitech.wikimedia.org/wiki/Help:Toolforge/Web). Every scalar is read as text, so YAML 1.1 and 1.2 agree.

use crate::{
    environment, quantity,
    text::{did_you_mean, problem, shown},
};
use model::Problem;
use saphyr_parser::{Event, Parser, Span};

/// Keys that the platform uses.
const USED: &[&str] = &["type", "mem", "cpu", "health-check-path"];
/// Keys of Toolforge that have no meaning here or are settings of the tool.
const SILENT: &[&str] =
    &["backend", "canonical", "mount", "replicas", "buildservice-image", "extra_args", "release"];

/// What a service.template asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ServiceTemplate {
    /// `buildservice`, `python3.11`, `php8.2` …; printable, at most 60 characters.
    pub(crate) kind: Option<String>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) cpu_millis: Option<u32>,
    pub(crate) health_path: Option<String>,
    pub(crate) warnings: Vec<String>,
}

/// Reads a service.template; an empty one is fine, as on Toolforge.
///
/// # Errors
/// `plan-service-template` with the line.
pub(crate) fn parse(text: &str) -> Result<ServiceTemplate, Problem> {
    let mut template = ServiceTemplate::default();
    for entry in entries(text)? {
        let line = entry.line;
        let value = entry.value.as_deref().map(str::trim).filter(|value| !value.is_empty() && *value != "~");
        match (entry.key.as_str(), value) {
            ("type", Some(value)) => template.kind = Some(shown(value, 60)),
            ("mem", Some(value)) => {
                template.memory_bytes = Some(quantity::memory_bytes(value).map_err(|what| bad(line, &what))?);
            }
            ("cpu", Some(value)) => {
                template.cpu_millis = Some(quantity::cpu_millis(value).map_err(|what| bad(line, &what))?);
            }
            ("health-check-path", Some(value)) => {
                environment::check_health_path(value).map_err(|what| bad(line, &what))?;
                template.health_path = Some(value.to_owned());
            }
            (key, _) if USED.contains(&key) || SILENT.contains(&key) => {}
            (key, _) => {
                let (shown, near) = (shown(key, 60), did_you_mean(key, USED));
                template.warnings.push(format!("service.template line {line}: unknown key `{shown}`{near}"));
            }
        }
    }
    Ok(template)
}

struct Entry {
    key: String,
    /// `None` for a list or a mapping.
    value: Option<String>,
    line: usize,
}

/// The keys of the first document's mapping. Nested values are skipped by counting, aliases are refused: no depth and
/// no repetition can grow anything.
fn entries(text: &str) -> Result<Vec<Entry>, Problem> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut depth = 0_usize;
    let mut key: Option<(String, usize)> = None;
    for event in Parser::new_from_str(text) {
        let (event, Span { start, .. }) = event.map_err(|error| {
            bad(error.marker().line(), &format!("it is not YAML: {}", shown(error.info(), 120)))
        })?;
        let line = start.line();
        let value = match event {
            Event::DocumentEnd => break,
            Event::Alias(_) => return Err(bad(line, "aliases are not used here; write the value itself")),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                depth += 1;
                if depth == 1 && matches!(event, Event::SequenceStart(..)) {
                    return Err(bad(line, "a mapping is expected: lines like `type: python3.13`"));
                }
                // The first level is the mapping itself; one below it is a value that is not a scalar.
                if depth != 2 {
                    continue;
                }
                None
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Event::Scalar(value, ..) => match depth {
                0 if value.is_empty() || &*value == "~" => continue,
                0 => return Err(bad(line, "a mapping is expected: lines like `type: python3.13`")),
                1 => Some(value.into_owned()),
                _ => continue,
            },
            _ => continue,
        };
        match (key.take(), value) {
            (None, Some(name)) => key = Some((name, line)),
            (None, None) => return Err(bad(line, "a key must be a word")),
            (Some((key, line)), value) => {
                if entries.iter().any(|other| other.key == key) {
                    return Err(bad(line, &format!("`{}` stands here a second time", shown(&key, 60))));
                }
                entries.push(Entry { key, value, line });
            }
        }
    }
    Ok(entries)
}

fn bad(line: usize, what: &str) -> Problem {
    let detail = format!("service.template line {line}: {what}");
    problem("plan-service-template", "service.template cannot be used", detail)
        .hint("its keys are described at https://wikitech.wikimedia.org/wiki/Help:Toolforge/Web")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().detail
    }

    #[test]
    fn the_four_keys_that_matter_are_read_and_the_others_are_silent() {
        let template = parse(
            "# comment\n---\nbackend: kubernetes\ntype: 'python3.11'\ncpu: 1\nmem: 2G\nmount: all\n\
             health-check-path: /healthz\ncanonical: True\nextra_args:\n  - ./start.sh\n  - {a: [b]}\nreplicas: 2",
        )
        .unwrap();
        let expected = ServiceTemplate {
            kind: Some("python3.11".into()),
            memory_bytes: Some(2_000_000_000),
            cpu_millis: Some(1000),
            health_path: Some("/healthz".into()),
            warnings: vec![],
        };
        assert_eq!(template, expected);
        for empty in ["", "# nothing\n", "~", "{}", "type:", "type: ~", "extra_args: \"\""] {
            assert_eq!(parse(empty).unwrap(), ServiceTemplate::default(), "{empty}");
        }
    }

    #[test]
    fn an_unknown_key_is_a_warning_as_on_toolforge() {
        let warnings = parse("typ: python3.11").unwrap().warnings;
        assert_eq!(warnings, ["service.template line 1: unknown key `typ` (did you mean `type`?)"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        assert!(error("- a").contains("line 1: a mapping is expected"));
        assert!(error("hello").contains("line 1: a mapping is expected"));
        assert!(error("type: a\ntype: b").contains("line 2: `type` stands here a second time"));
        assert!(error("mem: lots").contains("line 1: write memory like"));
        assert!(error("a: &x [1]\nb: *x").contains("aliases"));
        assert!(error("type: [").contains("it is not YAML"));
        assert!(error("? [a]\n: b\n").contains("a key must be a word"));
    }
}
