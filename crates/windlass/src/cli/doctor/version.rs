//! Version numbers as programs print them.

/// The first `number.number[.number]` in a text: `git version 2.39.5` reads as (2, 39, 5), `6.1.0-25-amd64` as
/// (6, 1, 0).
pub(super) fn find(text: &str) -> Option<(u32, u32, u32)> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '-')).find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        let (first, second) = (number()?, number()?);
        Some((first, second, number().unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (text, version) in [
            ("git version 2.39.5", (2, 39, 5)),
            ("6.1.0-25-amd64", (6, 1, 0)),
            ("runc version 1.1.5+ds1\ncommit: 1.1.5", (1, 1, 5)),
            ("nftables v1.0.6 (Lester Gooch #5)", (1, 0, 6)),
            ("mke2fs 1.47.0 (5-Feb-2023)", (1, 47, 0)),
            ("runc version 1.3.3-rc.1", (1, 3, 3)),
            ("6.18-custom", (6, 18, 0)),
            ("ip utility, iproute2-6.1.0, libbpf 1.1.2", (6, 1, 0)),
        ] {
            assert_eq!(find(text), Some(version), "{text}");
        }
        assert_eq!(find("no version here"), None);
    }
}
