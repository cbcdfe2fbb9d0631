//! Tars of strangers: read to an error or to entries that another reader sees too, in bounded memory.

use layers::fuzzing::{self, Entry};

/// Longest that the headers of one entry may come to in memory: path, link target and attributes.
const MAX_ENTRY_BYTES: usize = 3 * 256 * 1024;

pub(crate) fn run(bytes: &[u8]) {
    let Some((seal, bytes)) = crate::choose(bytes, 2) else { return };
    let mut bytes = bytes.to_vec();
    if seal == 0 {
        fix_checksums(&mut bytes);
    }
    let Ok(entries) = fuzzing::read_tar(&bytes) else { return };
    assert!(entries.len() <= bytes.len() / 512);
    for entry in &entries {
        assert_eq!(entry.content.len() as u64, entry.size_bytes);
        assert!(entry.path.len() + entry.link.len() + entry.attribute_bytes <= MAX_ENTRY_BYTES);
    }
    assert!(entries.iter().map(|entry| entry.content.len()).sum::<usize>() <= bytes.len());
    same_for_another_reader(&bytes, &entries);
}

/// What we accept has one meaning: the `tar` crate reads the same names and sizes, or refuses.
fn same_for_another_reader(bytes: &[u8], entries: &[Entry]) {
    let mut archive = tar::Archive::new(bytes);
    let mut others = archive.entries().unwrap();
    for entry in entries {
        let Ok(other) = others.next().expect("another reader sees fewer entries") else { return };
        // It keeps what stands after the end of a long name.
        let path = other.path_bytes();
        assert_eq!(path.split(|byte| *byte == 0).next(), entry.path.split(|byte| *byte == 0).next());
        assert_eq!(other.size(), entry.size_bytes);
    }
}

/// Makes every header's checksum right, so that changed bytes reach the fields behind it.
pub(crate) fn fix_checksums(bytes: &mut [u8]) {
    let mut offset = 0;
    while let Some(block) = bytes.get_mut(offset..offset + 512) {
        if block.iter().all(|byte| *byte == 0) {
            return;
        }
        let mut header = tar::Header::from_byte_slice(block).clone();
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or(0).min(1 << 30);
        offset += 512 + usize::try_from(size.next_multiple_of(512)).unwrap_or(0);
    }
}
