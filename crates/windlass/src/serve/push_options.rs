//! What `git push -o …` may say.

/// Told to whoever writes another.
const KNOWN: &str = "quiet (leaves out what buildpacks and release commands print)";
/// Options that are answered one by one; nobody writes more by hand.
const MAX_ANSWERED: usize = 5;

/// The options of one push.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Only the platform's own lines.
    pub(super) quiet: bool,
    /// For the pusher.
    pub(super) notes: Vec<String>,
}

impl Options {
    pub(super) fn read(given: &[String]) -> Self {
        let mut options = Self::default();
        for option in given {
            if option == "quiet" {
                options.quiet = true;
            } else if options.notes.len() < MAX_ANSWERED {
                let shown: String = logs::clean(option.as_bytes()).chars().take(40).collect();
                options.notes.push(format!("the push option `{shown}` means nothing here; known: {KNOWN}"));
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_option_is_told_with_the_known_ones_and_cannot_paint_the_terminal() {
        let given = ["quiet".to_owned(), "\u{1b}]0;x\u{7}ci.skip".to_owned()];
        let options = Options::read(&given);
        assert!(options.quiet);
        assert_eq!(options.notes, [format!("the push option `ci.skip` means nothing here; known: {KNOWN}")]);
        assert_eq!(Options::read(&vec!["x".repeat(1000); 100]).notes.len(), MAX_ANSWERED);
    }
}
