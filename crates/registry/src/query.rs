//! The values after `?`, and forms.

use crate::answer::Refusal;
use axum::http::Uri;

/// Largest page of any list.
const MAX_PAGE: u32 = 1000;

/// Names and values in the order in which they came.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        Self::read(uri.query().unwrap_or_default().as_bytes())
    }

    /// As `application/x-www-form-urlencoded` writes them.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// # Errors
    /// When it was sent twice: which of them counts is nobody's to guess.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Refusal::bad("UNSUPPORTED", format!("`{name}` was sent twice")));
        }
        Ok(first)
    }

    /// `n`: how many rows; fewer than asked when it asks for too many.
    pub(crate) fn page(&self) -> Result<u32, Refusal> {
        let Some(text) = self.one("n")? else { return Ok(MAX_PAGE) };
        let bad = || Refusal::bad("PAGINATION_NUMBER_INVALID", "`n` is a whole number from 0");
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        // A number of so many digits that it is none of ours is just a large one.
        Ok(text.parse::<u32>().unwrap_or(MAX_PAGE).min(MAX_PAGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_number_or_an_error_and_never_large() {
        let page = |text: &str| Query::read(format!("n={text}").as_bytes()).page().ok();
        assert_eq!(page("0"), Some(0));
        assert_eq!(page("50"), Some(50));
        assert_eq!(page("9000000000000000000"), Some(MAX_PAGE));
        for bad in ["-1", "abc", "", "1.5", "%00"] {
            assert_eq!(page(bad), None, "{bad}");
        }
        assert!(Query::read(b"digest=a&digest=b").one("digest").is_err());
    }
}
