//! Names, ids and digests in addresses and requests: what is accepted is one safe word, and reads back.

use model::{DiffId, Digest, EnvironmentName, LogStream, ProcessType, ToolId, ToolName};
use std::{fmt::Display, str::FromStr};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Both become one label of a host name, with `--` between them.
    for name in [word::<ToolName>(text), word::<EnvironmentName>(text)].into_iter().flatten() {
        assert!(name.len() <= 30 && !name.starts_with('-') && !name.contains("--"), "{name}");
    }
    if let Some(name) = word::<ProcessType>(text) {
        assert!(name.len() <= 63 && !name.starts_with(['-', '.']) && !name.contains('/'), "{name}");
    }
    word::<ToolId>(text);
    word::<Digest>(text);
    word::<DiffId>(text);
    word::<egress::address::Network>(text);
    if let Ok(stream) = text.parse::<LogStream>() {
        assert_eq!(stream.to_string().parse::<LogStream>().unwrap(), stream);
        assert!(!stream.to_string().split('/').any(|part| matches!(part, "" | "." | "..")), "{stream}");
    }
    if cnb::id::check_buildpack("x", text).is_ok() {
        let directory = cnb::id::escape(text);
        assert!(!directory.contains('/') && !matches!(directory.as_str(), "" | "." | ".."), "{directory}");
    }
    if cnb::id::check_version("x", text).is_ok() || cnb::id::is_process_type(text) {
        assert!(!text.contains('/') && !matches!(text, "" | "." | ".."), "{text}");
    }
}

/// What a text reads as, written again: the same, and one word.
fn word<T: FromStr + Display + PartialEq>(text: &str) -> Option<String> {
    let value = text.parse::<T>().ok()?;
    let written = value.to_string();
    assert!(written.parse::<T>().ok() == Some(value), "{written}");
    assert!(!written.contains(|c: char| c.is_whitespace() || c.is_control()), "{written:?}");
    Some(written)
}
