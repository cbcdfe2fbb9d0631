//! What of a tenant's text may reach somebody's terminal.

use std::iter::Peekable;
use std::str::Chars;

/// Longest colour sequence that is let through, in characters between `ESC [` and `m`.
const MAX_COLOUR_CHARACTERS: usize = 24;

/// The text of one row for a terminal: colours stay (and are reset at the end), every other control sequence goes,
/// as do characters that reorder or hide text; after carriage returns, only what a terminal would leave on the line.
pub fn clean(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut coloured = false;
    let mut characters = last_overwritten(&text).chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if let Some(colour) = sequence(&mut characters) {
                    coloured = !matches!(colour.as_str(), "" | "0");
                    out.extend(["\u{1b}[", &colour, "m"]);
                }
            }
            '\t' => out.push('\t'),
            _ if character.is_control() || deceives(character) => {}
            _ => out.push(character),
        }
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// What stands after the last carriage return that is followed by something: progress bars draw over themselves.
fn last_overwritten(text: &str) -> &str {
    text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default()
}

/// Steps over one escape sequence, its ESC already taken (ECMA-48, 5.3–5.6); gives the parameters if it is a colour.
fn sequence(characters: &mut Peekable<Chars<'_>>) -> Option<String> {
    match characters.next()? {
        '[' => {
            let mut parameters = String::new();
            loop {
                let character = characters.next_if(|c| (' '..='~').contains(c))?;
                match character {
                    '@'..='~' => {
                        let is_colour = character == 'm' && parameters.len() <= MAX_COLOUR_CHARACTERS;
                        let plain = parameters.chars().all(|c| c.is_ascii_digit() || c == ';');
                        return (is_colour && plain).then_some(parameters);
                    }
                    _ => parameters.push(character),
                }
            }
        }
        // Operating system commands and their like: up to BEL or ESC \.
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some(character) = characters.next() {
                if character == '\u{7}' || (character == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
            None
        }
        // Two or three characters: intermediate ones, then a final one.
        ' '..='/' => {
            while characters.next_if(|c| (' '..='/').contains(c)).is_some() {}
            characters.next_if(|c| ('0'..='~').contains(c));
            None
        }
        _ => None,
    }
}

/// Characters that change how others are shown: direction overrides and isolates (Unicode UAX #9), tags, ends of
/// lines that are no controls.
fn deceives(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_stay_and_never_run_into_the_next_line() {
        assert_eq!(clean(b"\x1b[31mred\x1b[0m plain"), "\x1b[31mred\x1b[0m plain");
        assert_eq!(clean(b"\x1b[1;31mred"), "\x1b[1;31mred\x1b[0m");
    }

    #[test]
    fn nothing_else_reaches_the_terminal() {
        let cases: [(&[u8], &str); 9] = [
            (b"\x1b[2Jclear", "clear"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1bPq#0\x1b\\after", "after"),
            (b"\x1b(Bascii \x1bc\x08\x07\x00reset", "ascii reset"),
            (b"\x1b[38:2:1:2:3mcolon", "colon"),
            (b"tab\tstays, \xff is shown", "tab\tstays, \u{fffd} is shown"),
            ("right\u{202e}left \u{9b}31m".as_bytes(), "rightleft 31m"),
            (b"cut off \x1b[3", "cut off "),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_progress_bar_shows_its_last_picture() {
        assert_eq!(clean(b"10%\r50%\r100% done\r"), "100% done");
        assert_eq!(clean(b"windows line\r"), "windows line");
    }

    proptest! {
        #[test]
        fn whatever_a_tenant_writes_only_colours_and_tabs_are_controls(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = clean(&text);
            let mut parts = shown.split('\u{1b}');
            prop_assert!(!parts.next().unwrap().contains(|c: char| c.is_control() && c != '\t'));
            for part in parts {
                let (colour, rest) = part.strip_prefix('[').and_then(|p| p.split_once('m')).unwrap();
                prop_assert!(colour.chars().all(|c| c.is_ascii_digit() || c == ';'));
                prop_assert!(!rest.contains(|c: char| c.is_control() && c != '\t'));
            }
        }
    }
}
