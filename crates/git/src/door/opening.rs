//! The beginning of a push's request: its commands, its options and the head of its pack (gitprotocol-pack(5),
//! "Reference Update Request and Packfile Transfer"). Read before git starts, so that what is too much costs nothing.

use crate::{Command, pktline};

/// Longest beginning of a request in bytes: thousands of refs of ordinary length.
pub(super) const MAX_OPENING_BYTES: usize = 1024 * 1024;
/// A pack begins with `PACK`, its version and the number of its objects (gitformat-pack(5)).
const PACK_HEAD_BYTES: usize = 12;

/// What a push brings, as far as its first bytes tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) commands: Vec<Command>,
    /// The client takes text beside the report.
    pub(super) side_band: bool,
    /// Objects in the pack; `None` when no pack follows, as with deletions alone.
    pub(super) objects: Option<u32>,
    /// Where the pack begins in what was read.
    pub(super) pack_at: usize,
}

/// What the bytes so far make.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The beginning is not whole yet; what it says so far.
    More(Opening),
    Whole(Opening),
    /// No git client writes this.
    Bad,
}

/// Reads what has come so far; `ended` when nothing more will come.
pub(super) fn read(bytes: &[u8], ended: bool) -> Read {
    let mut at = 0;
    let mut opening = Opening::default();
    let mut options = false;
    let unfinished = |opening| if ended { Read::Bad } else { Read::More(opening) };
    loop {
        match pktline::next(&bytes[at..]) {
            Ok(None) => return unfinished(opening),
            Err(_) => return Read::Bad,
            Ok(Some((None, length))) => {
                at += length;
                break;
            }
            Ok(Some((Some(line), length))) => {
                at += length;
                if line.starts_with(b"shallow ") {
                    continue;
                }
                // The first command carries what the client can do after a NUL.
                let mut parts = line.splitn(2, |byte| *byte == 0);
                let command = parts.next().and_then(|command| Command::parse(command).ok());
                let Some(command) = command else { return Read::Bad };
                if let Some(words) = parts.next() {
                    let has = |word: &[u8]| {
                        words.split(|byte| *byte == b' ').any(|other| other.trim_ascii() == word)
                    };
                    opening.side_band = has(b"side-band-64k");
                    options = has(b"push-options");
                }
                opening.commands.push(command);
            }
        }
    }
    // With no command at all it is a probe, which has neither options nor a pack.
    while options {
        match pktline::next(&bytes[at..]) {
            Ok(None) => return unfinished(opening),
            Err(_) => return Read::Bad,
            Ok(Some((line, length))) => {
                at += length;
                options = line.is_some();
            }
        }
    }
    opening.pack_at = at;
    if opening.commands.iter().all(Command::deletes) {
        return Read::Whole(opening);
    }
    match bytes.get(at..at + PACK_HEAD_BYTES) {
        Some([b'P', b'A', b'C', b'K', _, _, _, _, a, b, c, d]) => {
            opening.objects = Some(u32::from_be_bytes([*a, *b, *c, *d]));
            Read::Whole(opening)
        }
        Some(_) => Read::Bad,
        None => unfinished(opening),
    }
}

/// The report of a push that never reached git: `text` for the pusher, and one short reason for every ref.
pub(super) fn refusal(opening: &Opening, text: &str, reason: &str) -> Vec<u8> {
    let mut report = pktline::encode(b"unpack ok\n");
    for command in &opening.commands {
        report.extend(pktline::encode(format!("ng {} {reason}\n", command.name).as_bytes()));
    }
    report.extend(b"0000");
    if !opening.side_band {
        return report;
    }
    let mut all = said(text);
    for part in report.chunks(pktline::MAX_PACKET_BYTES - 5) {
        all.extend(pktline::encode(&[b"\x01", part].concat()));
    }
    all.extend(b"0000");
    all
}

/// Text for the pusher as a packet of the second band (gitprotocol-pack(5), "side-band").
pub(super) fn said(text: &str) -> Vec<u8> {
    pktline::encode(&[b"\x02", text.as_bytes(), b"\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";

    fn push(new: &str, options: &[&str], pack: &[u8]) -> Vec<u8> {
        let capabilities = if options.is_empty() { "" } else { " push-options" };
        let line = format!("{NONE} {new} refs/heads/main\0 report-status side-band-64k{capabilities}");
        let mut bytes = pktline::encode(format!("shallow {ONE}").as_bytes());
        bytes.extend(pktline::encode(line.as_bytes()));
        bytes.extend(pktline::encode(format!("{NONE} {new} refs/heads/two").as_bytes()));
        bytes.extend(b"0000");
        for option in options {
            bytes.extend(pktline::encode(option.as_bytes()));
        }
        if !options.is_empty() {
            bytes.extend(b"0000");
        }
        bytes.extend(pack);
        bytes
    }

    #[test]
    fn a_push_says_how_many_objects_it_brings_however_it_is_cut() {
        let bytes = push(ONE, &["quiet"], b"PACK\0\0\0\x02\0\x0f\x42\x40and more");
        let whole = bytes.len() - "and more".len();
        for length in 0..whole {
            assert!(matches!(read(&bytes[..length], false), Read::More(_)), "{length}");
            assert_eq!(read(&bytes[..length], true), Read::Bad, "{length}");
        }
        let Read::Whole(opening) = read(&bytes, false) else { panic!() };
        assert_eq!((opening.objects, opening.side_band), (Some(1_000_000), true));
        assert_eq!(opening.commands[1].name, "refs/heads/two");
        assert_eq!(opening.pack_at, whole - PACK_HEAD_BYTES);
    }

    #[test]
    fn deletions_and_probes_have_no_pack() {
        let Read::Whole(deletion) = read(&push(NONE, &[], b""), false) else { panic!() };
        assert_eq!((deletion.objects, deletion.commands.len()), (None, 2));
        assert_eq!(read(b"0000", false), Read::Whole(Opening { pack_at: 4, ..Opening::default() }));
    }

    #[test]
    fn what_no_client_writes_is_refused() {
        for bytes in [&b"zzzz"[..], b"0001", b"0009hello", b"0010push-cert\0 xx", b"000bno\0 yes0000"] {
            assert_eq!(read(bytes, true), Read::Bad, "{}", bytes.escape_ascii());
        }
        assert_eq!(read(&push(ONE, &[], b"GARBAGE GARBAGE"), false), Read::Bad);
    }

    #[test]
    fn a_refusal_names_every_ref() {
        let Read::Whole(opening) = read(&push(NONE, &[], b""), false) else { panic!() };
        let text = String::from_utf8(refusal(&opening, "windlass: no", "too many objects")).unwrap();
        assert!(text.contains("\x02windlass: no\n") && text.ends_with("00000000"), "{text}");
        assert!(text.contains("ng refs/heads/main too many objects\n"));
        assert!(text.contains("ng refs/heads/two too many objects\n"));
    }
}
