//! git's answer on its way to the client: packet by packet until git's report, and before the report a text of ours
//! where git's own words would not help (gitprotocol-pack(5), "Report Status" and "side-band").

use super::opening::said;
use crate::pktline;
use sandbox::request::{GIT_ADDRESS_SPACE_BYTES, GIT_CPU_SECONDS};
use std::sync::OnceLock;

/// So much of what git said last is remembered, in bytes: its reason is in its last lines.
const REMEMBERED_BYTES: usize = 4096;

/// The answer of one push.
pub(super) struct Relay<'a> {
    /// The beginning of a packet whose end has not come.
    held: Vec<u8>,
    /// The last of the text beside the report.
    said: Vec<u8>,
    /// The report has begun, or there is nothing to understand: everything passes as it comes.
    passing: bool,
    /// Set by whoever notices a limit before git does.
    notice: Option<&'a OnceLock<String>>,
}

impl<'a> Relay<'a> {
    /// `notice` is `None` for a client that takes no text beside the report.
    pub(super) fn new(notice: Option<&'a OnceLock<String>>) -> Self {
        Self { held: Vec::new(), said: Vec::new(), passing: notice.is_none(), notice }
    }

    /// What the client gets for these bytes of git's.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.passing {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let (mut out, mut at) = (Vec::new(), 0);
        if let Some(text) = self.notice.and_then(OnceLock::get) {
            // Before what git makes of the same.
            self.notice = None;
            out.extend(said(text));
        }
        while let Ok(Some((packet, length))) = pktline::next(&held[at..]) {
            match packet {
                Some([2, text @ ..]) => self.remember(text),
                // An empty one is a sign of life.
                Some([1, report @ ..]) if !report.is_empty() => {
                    if let Some(text) = self.notice.and_then(|_| why(report, &self.said)) {
                        out.extend(said(&text));
                    }
                    self.passing = true;
                    out.extend_from_slice(&held[at..]);
                    return out;
                }
                _ => {}
            }
            out.extend_from_slice(&held[at..at + length]);
            at += length;
        }
        if pktline::next(&held[at..]).is_err() {
            self.passing = true;
            out.extend_from_slice(&held[at..]);
        } else {
            self.held = held[at..].to_vec();
        }
        out
    }

    /// The beginning of a packet that git did not end.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn remember(&mut self, text: &[u8]) {
        self.said.extend_from_slice(text);
        let above = self.said.len().saturating_sub(REMEMBERED_BYTES);
        self.said.drain(..above);
    }
}

/// What a pusher is told whose pack broke a limit of the git process itself. Where git gives a reason of its own, a
/// broken object for example, nothing is added.
fn why(report: &[u8], said: &[u8]) -> Option<String> {
    let line = report.get(4..)?;
    if !line.starts_with(b"unpack ") || line.starts_with(b"unpack ok") {
        return None;
    }
    let said = String::from_utf8_lossy(said).to_ascii_lowercase();
    if said.contains("out of memory") || said.contains("cannot allocate memory") {
        return Some(format!(
            "windlass: this push holds an object that does not fit into the {} GiB of memory that git has, however\n\
             windlass: small the upload is; nothing was changed. Keep data and generated files out of git",
            GIT_ADDRESS_SPACE_BYTES >> 30
        ));
    }
    (!said.contains("fatal:")).then(|| {
        format!(
            "windlass: git was ended: one push may take {GIT_CPU_SECONDS} s of processor time; nothing was changed. Push older\n\
             windlass: commits first (`git push windlass <commit>:refs/heads/main`), or keep data out of git"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(band: u8, text: &str) -> Vec<u8> {
        pktline::encode(&[&[band], text.as_bytes()].concat())
    }

    fn passed(parts: &[Vec<u8>], notice: &OnceLock<String>, at_once: usize) -> String {
        let all = [parts.concat(), b"0000".to_vec()].concat();
        let mut relay = Relay::new(Some(notice));
        let mut out: Vec<u8> = all.chunks(at_once).flat_map(|chunk| relay.pass(chunk)).collect();
        out.extend(relay.rest());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_passes_unchanged_however_it_is_cut() {
        let good = [packet(1, ""), packet(2, "hello\n"), packet(1, "000eunpack ok\n0000"), packet(2, "x")];
        let broken = [packet(2, "fatal: fsck error: hasDotgit\n"), packet(1, "0012unpack abnormal\n0000")];
        for parts in [&good[..], &broken] {
            for at_once in [1, 3, 7, 1000] {
                let expected = String::from_utf8([parts.concat(), b"0000".to_vec()].concat()).unwrap();
                assert_eq!(passed(parts, &OnceLock::new(), at_once), expected);
            }
        }
        let mut relay = Relay::new(None);
        assert_eq!(relay.pass(b"000eunp"), b"000eunp", "without a side band nothing is held back");
        let notice = OnceLock::new();
        let mut relay = Relay::new(Some(&notice));
        assert_eq!(relay.pass(b"nonsense"), b"nonsense");
    }

    #[test]
    fn a_limit_of_gits_process_is_told_before_the_report() {
        let report = packet(1, "0021unpack index-pack abnormal exit\n0000");
        let memory = packet(2, "fatal: Out of memory, malloc failed (tried to allocate 5 bytes)\n");
        for at_once in [1, 1000] {
            let text = passed(&[memory.clone(), report.clone()], &OnceLock::new(), at_once);
            let (at, report_at) = (text.find("2 GiB of memory").unwrap(), text.find("unpack").unwrap());
            assert!(at < report_at, "{text}");
            let text = passed(std::slice::from_ref(&report), &OnceLock::new(), at_once);
            assert!(text.contains("120 s of processor time"), "{text}");
        }
    }

    #[test]
    fn a_notice_stands_alone_before_what_git_makes_of_it() {
        let notice = OnceLock::new();
        notice.set("too large".to_owned()).unwrap();
        let parts = [packet(2, "fatal: pack exceeds\n"), packet(1, "000funpack bad\n0000")];
        let text = passed(&parts, &notice, 1000);
        assert!(text.starts_with("000f\u{2}too large\n"), "{text:?}");
        assert_eq!(text.matches("windlass").count(), 0);
    }
}
