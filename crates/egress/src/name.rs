//! The grammar of host names that a build may ask for.

/// Reads a host name: 1 to 253 bytes, labels of letters, digits and inner dashes, at least two labels, the last one
/// starting with a letter. Gives it in lower case without the one trailing dot that is allowed.
///
/// So no address is a name (`127.1`, `0x7f.1`, `2130706433`, `[::1]`), nor is `localhost`.
pub fn host(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.len() > 253 {
        return None;
    }
    let labels: Vec<&[u8]> = bytes.split(|&byte| byte == b'.').collect();
    let last = labels.last()?;
    if labels.len() < 2 || !labels.iter().all(|label| is_label(label)) || !last[0].is_ascii_alphabetic() {
        return None;
    }
    String::from_utf8(bytes.to_ascii_lowercase()).ok()
}

fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len())
        && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !label.starts_with(b"-")
        && !label.ends_with(b"-")
}

/// What to show of bytes that a build chose: printable ASCII, at most 80 of them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let letter = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    bytes.iter().take(80).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lowered_and_lose_one_trailing_dot() {
        assert_eq!(host(b"Files.PythonHosted.ORG.").as_deref(), Some("files.pythonhosted.org"));
        assert_eq!(host(b"a-b.c1.example").as_deref(), Some("a-b.c1.example"));
    }

    #[test]
    fn addresses_tricks_and_single_labels_are_no_names() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = format!("{}example", "abcdefg.".repeat(32));
        for bad in [
            "",
            ".",
            "..",
            "localhost",
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "[::1]",
            "::1",
            "pypi.org..",
            ".pypi.org",
            "pypi..org",
            "user@pypi.org",
            "pypi.org:443",
            "pypi.org%00.evil",
            "pypi.org#x",
            "pypi org.x",
            "-a.example",
            "a-.example",
            "p\u{443}pi.org",
            "a_b.example",
            "a.example/",
            &long,
            &longer,
        ] {
            assert_eq!(host(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_a_build_chose_is_shown_without_control_characters() {
        assert_eq!(shown(b"a\x1b[2J\nb"), "a?[2J?b");
    }
}
