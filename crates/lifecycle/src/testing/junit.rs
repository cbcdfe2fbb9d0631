//! `JUnit` XML as pytest and others write it (the format has no specification; pytest's `xunit1` family is the model).
//! A document type is refused, so there are no entities to grow; size and number of nodes are bounded.

use super::report::{Case, Counts, MAX_CASES, Report};
use roxmltree::{Document, Node, ParsingOptions};

/// Largest report that is read, in bytes.
pub const MAX_REPORT_BYTES: u64 = 4 * 1024 * 1024;
/// Most elements, texts and comments of it.
const MAX_NODES: u32 = 200_000;
/// Where the source lies while it is tested.
const ROOT: &str = "/workspace/";

/// Counts, and the first cases that failed.
pub(super) fn read(bytes: &[u8]) -> Result<Report, String> {
    if bytes.len() as u64 > MAX_REPORT_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_REPORT_BYTES >> 20));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    if !matches!(document.root_element().tag_name().name(), "testsuites" | "testsuite") {
        return Err("it is no JUnit report".to_owned());
    }
    let mut counts = Counts::default();
    let mut cases = Vec::new();
    for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
        let is = |node: &Node<'_, '_>, names: &[&str]| names.contains(&node.tag_name().name());
        let count = if let Some(failure) = case.children().find(|node| is(node, &["failure", "error"])) {
            if cases.len() < MAX_CASES {
                cases.push(failed(&case, &failure));
            }
            &mut counts.failed
        } else if case.children().any(|node| is(&node, &["skipped"])) {
            &mut counts.skipped
        } else {
            &mut counts.passed
        };
        *count = count.saturating_add(1);
    }
    Ok(Report { counts: Some(counts), cases, ..Report::default() })
}

fn failed(case: &Node<'_, '_>, failure: &Node<'_, '_>) -> Case {
    let class = case.attribute("classname").and_then(|name| name.rsplit('.').next());
    let class = class.filter(|name| name.starts_with(|c: char| c.is_uppercase()));
    let name = case.attribute("name").unwrap_or_default();
    let name = class.map_or_else(|| name.to_owned(), |class| format!("{class}.{name}"));
    let body = failure.text().unwrap_or_default();
    let message = failure.attribute("message").map(str::trim).filter(|text| !text.is_empty());
    let message = message.or_else(|| body.lines().map(str::trim).find(|line| !line.is_empty()));
    // Where it failed is at the end of what pytest writes; where the test begins is an attribute, counted from 0.
    let (file, line) = if let Some((file, line)) = body.lines().rev().find_map(place) {
        (Some(file), Some(line))
    } else {
        let line = case.attribute("line").and_then(|line| line.parse::<u32>().ok());
        (case.attribute("file"), line.map(|line| line.saturating_add(1)))
    };
    Case {
        name,
        file: file.map(|file| file.strip_prefix(ROOT).unwrap_or(file).to_owned()),
        line,
        text: message.and_then(|text| text.lines().next()).unwrap_or_default().to_owned(),
    }
}

/// `tests/test_count.py:22: AssertionError`, a file of the source.
fn place(row: &str) -> Option<(&str, u32)> {
    let (place, _) = row.split_once(": ").or_else(|| Some((row.strip_suffix(':')?, "")))?;
    let (file, line) = place.rsplit_once(':')?;
    let own = !file.contains(char::is_whitespace) && (!file.starts_with('/') || file.starts_with(ROOT));
    (own && file.strip_suffix(".py").is_some()).then(|| Some((file, line.parse().ok()?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="4" time="0.03"><testcase classname="tests.test_count" name="test_words" file="tests/test_count.py" line="2" time="0.000" /><testcase classname="tests.test_count.TestMore" name="test_apostrophes[it's]" file="tests/test_count.py" line="19" time="0.001"><failure message="AssertionError: assert 2 == 3&#10; +  where 2 = count()">def test_apostrophes():
&gt;       assert count("it's") == 3
E       AssertionError: assert 2 == 3

tests/test_count.py:22: AssertionError</failure></testcase><testcase classname="" name="tests.test_broken" time="0.0"><error message="collection failure">ImportError while importing
/usr/lib/python3.13/importlib/__init__.py:88: in import_module
tests/test_broken.py:1: in &lt;module&gt;
E   ModuleNotFoundError: No module named 'flsk'</error></testcase><testcase classname="tests.test_count" name="test_later" file="tests/test_count.py" line="30"><skipped type="pytest.skip" message="later">x</skipped></testcase></testsuite></testsuites>"#;

    #[test]
    fn pytests_report_gives_counts_and_where_it_failed() {
        let report = read(PYTEST.as_bytes()).unwrap();
        assert_eq!(report.counts, Some(Counts { passed: 1, failed: 2, skipped: 1 }));
        let [first, second] = &report.cases[..] else { panic!("{report:?}") };
        assert_eq!(
            (first.name.as_str(), first.file.as_deref(), first.line, first.text.as_str()),
            (
                "TestMore.test_apostrophes[it's]",
                Some("tests/test_count.py"),
                Some(22),
                "AssertionError: assert 2 == 3"
            )
        );
        assert_eq!((second.file.as_deref(), second.line), (Some("tests/test_broken.py"), Some(1)));
    }

    #[test]
    fn a_hostile_report_is_refused_and_costs_nothing() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><testsuites>&b;</testsuites>";
        assert!(read(bomb.as_bytes()).unwrap_err().contains("DTD"));
        let file = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><testsuite>&f;</testsuite>";
        assert!(read(file.as_bytes()).is_err());
        assert!(read(&vec![b' '; 5 << 20]).unwrap_err().contains("larger than 4 MiB"));
        let many = format!("<testsuite>{}</testsuite>", "<testcase/>".repeat(300_000));
        assert!(read(many.as_bytes()).is_err());
        let deep = format!("{}{}", "<testsuite>".repeat(100_000), "</testsuite>".repeat(100_000));
        let _ = read(deep.as_bytes());
        for text in ["", "<testsuite>", "<html></html>", "\u{0}", "<testsuite>&nope;</testsuite>"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"\xff").is_err());
        let empty = read(b"<testsuite><testcase><failure/></testcase></testsuite>").unwrap();
        assert_eq!(empty.cases, [Case::default()]);
    }
}
