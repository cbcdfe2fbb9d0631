//! Log streams: any file is read to an end, rows are what was written, and what is shown cannot steer a terminal.

use logs::{Decoded, Reader, Splitter, clean, decode, encode};
use std::io::Write;

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = crate::choose(bytes, 3) else { return };
    match choice {
        0 => read_file(bytes),
        1 => split(bytes),
        _ => {
            let shown = clean(bytes);
            let colours = shown.split('\u{1b}').skip(1);
            for part in colours {
                let (colour, _) = part.strip_prefix('[').and_then(|part| part.split_once('m')).unwrap();
                assert!(colour.chars().all(|c| c.is_ascii_digit() || c == ';'), "{colour}");
            }
            crate::is_harmless(&shown.replace('\u{1b}', ""));
        }
    }
}

fn read_file(bytes: &[u8]) {
    if let Decoded::Row { row, frame_bytes } = decode(bytes) {
        let mut again = Vec::new();
        encode(row.microseconds, row.stream, row.flags, &row.bytes, &mut again);
        assert_eq!(again, bytes[..frame_bytes]);
    }
    let mut file = tempfile::NamedTempFile::new_in(memory()).unwrap();
    file.write_all(bytes).unwrap();
    let Ok(mut reader) = Reader::open(file.path(), 0) else { return };
    let mut end = 0;
    while let Ok(Some(entry)) = reader.next_row() {
        assert!(entry.offset >= end && entry.next_offset > entry.offset);
        end = entry.next_offset;
        assert!(end <= bytes.len() as u64);
    }
}

fn memory() -> &'static str {
    if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }
}

/// Rows put together are the text, whatever the writes and however often somebody was impatient.
fn split(bytes: &[u8]) {
    let step = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    let mut joined = Vec::new();
    let mut keep = |flags: logs::Flags, text: &[u8]| {
        assert!(text.len() <= logs::MAX_ROW_BYTES);
        joined.extend_from_slice(text);
        if !flags.has(logs::Flags::PARTIAL) {
            joined.push(b'\n');
        }
        Ok(())
    };
    let mut splitter = Splitter::new();
    for (number, chunk) in bytes.chunks(step).enumerate() {
        splitter.feed(chunk, &mut keep).unwrap();
        if number % 3 == 0 {
            splitter.flush(&mut keep).unwrap();
        }
    }
    splitter.finish(&mut keep).unwrap();
    let masks = joined.windows(3).any(|window| matches!(window, [0xEE, 0x80, 0x80 | 0x81]));
    assert!(!masks, "a tenant wrote a mask's mark");
    if !bytes.windows(2).any(|window| window == [0xEE, 0x80]) {
        let joined = joined.strip_suffix(b"\n").unwrap_or(&joined);
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        assert_eq!(joined, bytes);
    }
}
