//! `Range` of a download (RFC 9110, section 14) and `Content-Range` of an upload's chunk, which distribution-spec
//! writes without a unit: `0-1023`.

/// Which bytes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All: no range was asked for, or one that may be passed over (several at once, another unit, no range at all).
    Whole,
    /// From the first to the last, both included.
    Some { first: u64, last: u64 },
    /// None of what was asked for is there.
    Unsatisfiable,
}

/// Reads `bytes=a-b`, `bytes=a-`, `bytes=-n` for a blob of this length.
pub(crate) fn of_download(value: Option<&str>, length: u64) -> Part {
    let Some(range) = value.and_then(|value| value.strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = range.split_once('-') else { return Part::Whole };
    let (first, last) = (first.trim(), last.trim());
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    // Several ranges at once would let one request ask for the same bytes a thousand times.
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return Part::Whole;
    }
    // What is too large for a number is past every end.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let (first, last) = match (first, last) {
        ("", suffix) => (length.saturating_sub(number(suffix)), length.saturating_sub(1)),
        (first, "") => (number(first), length.saturating_sub(1)),
        (first, last) => (number(first), number(last).min(length.saturating_sub(1))),
    };
    let nothing = length == 0 || range == "-0";
    if nothing || first > last || first >= length { Part::Unsatisfiable } else { Part::Some { first, last } }
}

/// Reads `a-b` of a chunk: its first byte, and its length.
pub(crate) fn of_chunk(value: &str) -> Option<(u64, u64)> {
    let (first, last) = value.trim().split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((first, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_part_or_the_whole() {
        let some = |first, last| Part::Some { first, last };
        for (asked, expected) in [
            ("bytes=500-1499", some(500, 1499)),
            ("bytes=500-", some(500, 3999)),
            ("bytes=-500", some(3500, 3999)),
            ("bytes=-9999", some(0, 3999)),
            ("bytes=2000-5000", some(2000, 3999)),
            ("bytes=0-99999999999999999999", some(0, 3999)),
            ("bytes=500-0", Part::Unsatisfiable),
            ("bytes=5000-10000", Part::Unsatisfiable),
            ("bytes=99999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=0-0,1-1", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=x-y", Part::Whole),
            ("lines=1-2", Part::Whole),
        ] {
            assert_eq!(of_download(Some(asked), 4000), expected, "{asked}");
        }
        assert_eq!(of_download(None, 4000), Part::Whole);
        assert_eq!(of_download(Some("bytes=0-0"), 0), Part::Unsatisfiable);
    }

    #[test]
    fn a_chunk_has_a_first_byte_and_a_length() {
        assert_eq!(of_chunk("0-9"), Some((0, 10)));
        assert_eq!(of_chunk("5-5"), Some((5, 1)));
        for bad in
            ["bytes 0-2/3", "9-3", "-1-3", "0-18446744073709551616", "0-18446744073709551615", "", "-", "0"]
        {
            assert_eq!(of_chunk(bad), None, "{bad}");
        }
    }
}
