//! Staying small: what only the set-up needed is not kept in memory for as long as a tool runs.

use std::fs;

/// Lets go of all pages of the program's code and constants; those that are used again come back from the page cache,
/// one short fault each. Most of what a shim has resident was used once: relocations, mounts, the runtime's calls.
pub(super) fn release_code() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (start, end) in maps.lines().filter_map(unwritten_part) {
        // SAFETY: the mapping is a part of the program file that is private and was never written to: dropping its
        // pages changes nothing that can be read (madvise(2), MADV_DONTNEED). A failure leaves them where they are.
        #[expect(unsafe_code, reason = "advice about a mapping takes a bare address")]
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED);
        }
    }
}

/// Bounds of a mapping of a file's code, or of its beginning: headers and constants. Other read-only parts were
/// relocated before they were made read-only. A line is `start-end r-xp offset device inode path`.
fn unwritten_part(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (rights, offset) = (words.next()?, words.next()?);
    let unwritten = rights == "r-xp" || (rights == "r--p" && offset == "00000000");
    if !unwritten || !words.nth(2)?.starts_with('/') {
        return None;
    }
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_a_file_that_were_never_written_are_let_go() {
        let code = "7f00-7fff r-xp 00001000 08:01 42   /var/lib/windlass/windlass";
        let constants = "7f00-7fff r--p 00000000 08:01 42   /var/lib/windlass/windlass";
        assert_eq!(unwritten_part(code), Some((0x7f00, 0x7fff)));
        assert_eq!(unwritten_part(constants), Some((0x7f00, 0x7fff)));
        for other in [
            "7f00-7fff r--p 00001000 08:01 42   /var/lib/windlass/windlass",
            "7f00-7fff rw-p 00001000 08:01 42   /var/lib/windlass/windlass",
            "7f00-7fff r-xp 00000000 00:00 0    [vdso]",
            "7f00-7fff r--p 00000000 00:00 0    [vvar]",
            "7f00-7fff r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(unwritten_part(other), None, "{other}");
        }
    }

    #[test]
    fn a_program_runs_on_after_it_let_its_code_go() {
        release_code();
        assert_eq!("still here".to_uppercase(), "STILL HERE");
    }
}
