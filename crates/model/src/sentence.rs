//! An error and its causes as one line, for logs, sockets and people. Where an error is handled, it is told once.

use std::error::Error;

/// The error's own words, then each cause's, with colons between them.
pub fn of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot save")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_their_effects() {
        let error = std::io::Error::other("the disk is gone");
        assert_eq!(super::of(&error), "the disk is gone");
        let error = Outer(error);
        assert_eq!(super::of(&error), "cannot save: the disk is gone");
    }
}
