//! The few rules of Python's configparser that setup.cfg and tox.ini need: sections, keys, values over several lines.

/// The keys of one section with the lines of their values; empty lines and comments are left out.
pub(super) type Keys = Vec<(String, Vec<String>)>;

/// Sections in the order of the file; what is not understood is passed over.
pub(super) fn sections(text: &str) -> Vec<(String, Keys)> {
    let mut sections: Vec<(String, Keys)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.trim_end().strip_suffix(']')) {
            sections.push((name.to_owned(), Vec::new()));
            continue;
        }
        let Some((_, keys)) = sections.last_mut() else { continue };
        if line.starts_with([' ', '\t']) {
            if let Some((_, lines)) = keys.last_mut() {
                lines.push(trimmed.to_owned());
            }
        } else if let Some((key, value)) = line.split_once(['=', ':']) {
            let value = value.trim();
            let lines = if value.is_empty() { Vec::new() } else { vec![value.to_owned()] };
            keys.push((key.trim().to_ascii_lowercase(), lines));
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_over_lines_that_are_set_in() {
        let text = "stray = 1\n[a]\n# no\nkey = one\n  two\n\n  three\nOther: x\n[b b]\nk=\n\tv\n";
        let line = |text: &str| text.to_owned();
        assert_eq!(
            sections(text),
            [
                (
                    "a".to_owned(),
                    vec![
                        ("key".to_owned(), vec![line("one"), line("two"), line("three")]),
                        ("other".to_owned(), vec![line("x")])
                    ]
                ),
                ("b b".to_owned(), vec![("k".to_owned(), vec![line("v")])]),
            ]
        );
    }
}
