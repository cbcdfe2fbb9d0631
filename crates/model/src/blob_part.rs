//! How serve lets the router send a part of a blob in its place: two headers between them, which no client sends or sees.

use crate::Digest;
use std::{fmt, str::FromStr};

/// A request's header: the router can send a blob that serve names.
pub const ACCEPTS_BLOB: &str = "x-windlass-accepts-blob";
/// A header of serve's answer: the [`BlobPart`] that is its body.
pub const BLOB: &str = "x-windlass-blob";

/// Some bytes of a blob, which serve has looked up and the asker may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobPart {
    pub digest: Digest,
    /// Offset of the first byte.
    pub first: u64,
    pub length_bytes: u64,
}

impl fmt::Display for BlobPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.digest, self.first, self.length_bytes)
    }
}

impl FromStr for BlobPart {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(());
        let digest = next()?.parse().map_err(drop)?;
        let (first, length_bytes) = (next()?.parse().map_err(drop)?, next()?.parse().map_err(drop)?);
        if words.next().is_some() { Err(()) } else { Ok(Self { digest, first, length_bytes }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_it_was_written_and_nothing_else_is() {
        let text = format!("sha256:{} 7 9", "ab".repeat(32));
        let part: BlobPart = text.parse().unwrap();
        assert_eq!((part.first, part.length_bytes, part.to_string()), (7, 9, text.clone()));
        for bad in
            ["", "sha256:ab 1 2", &text[..text.len() - 2], &format!("{text} 1"), &text.replace('7', "-7")]
        {
            assert!(bad.parse::<BlobPart>().is_err(), "{bad}");
        }
    }
}
