//! Tars that mean harm, or only mean two things at once, are refused with a sentence, and nothing of them stays.

use crate::tars::{Tar, gzip};
use model::Paths;
use std::error::Error as _;
use tar::EntryType;
use windlass_layers::{Store, UnpackLimits};

const SMALL: UnpackLimits = UnpackLimits { max_entries: 10, max_bytes: 10_000 };

fn refusal(tar: &[u8]) -> String {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&Paths::new(home.path().join("data"), home.path())).unwrap();
    std::fs::write(home.path().join("outside"), "untouched").unwrap();
    let error = store.unpack_layer(tar, SMALL).unwrap_err();
    let left: Vec<_> = std::fs::read_dir(home.path().join("data/layers/.new")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(store.list().unwrap().is_empty());
    assert_eq!(std::fs::read(home.path().join("outside")).unwrap(), b"untouched");
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_hostile_tar_is_refused_with_its_reason_and_leaves_nothing() {
    let long = "n".repeat(256);
    let deep = "d/".repeat(300) + "file";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("leads out", Tar::default().file("../outside", b"x").end(), "holds `..`"),
        ("leads out inside", Tar::default().file("a/../../outside", b"x").end(), "holds `..`"),
        ("no name", Tar::default().file("", b"x").end(), "empty name"),
        (
            "root as a file",
            Tar::default().file("/", b"").link("/", EntryType::Symlink, "x").end(),
            "root of the tree",
        ),
        (
            "through a link",
            Tar::default().link("up", EntryType::Symlink, "../../../../../..").file("up/outside", b"x").end(),
            "`up` is a symbolic link",
        ),
        (
            "through a link further down",
            Tar::default().directory("a").link("a/b", EntryType::Symlink, "/").file("a/b/c/d", b"x").end(),
            "is a symbolic link",
        ),
        ("below a file", Tar::default().file("a", b"").file("a/b", b"").end(), "`a` is not a directory"),
        (
            "hard link out",
            Tar::default().link("a", EntryType::Link, "../../../../outside").end(),
            "holds `..`",
        ),
        (
            "hard link to nothing",
            Tar::default().link("a", EntryType::Link, "/etc/passwd").end(),
            "not in this tar",
        ),
        (
            "hard link through a link",
            Tar::default()
                .link("up", EntryType::Symlink, "/etc")
                .link("a", EntryType::Link, "up/passwd")
                .end(),
            "`up` is a symbolic link",
        ),
        (
            "hard link to a directory",
            Tar::default().directory("d").link("a", EntryType::Link, "d").end(),
            "hard link to a directory",
        ),
        (
            "hard link to a whiteout",
            Tar::default().file(".wh.gone", b"").link("a", EntryType::Link, "gone").end(),
            "not in this tar",
        ),
        (
            "block device",
            Tar::default().entry("sda", EntryType::Block, |_| {}, b"").end(),
            "`sda` is a device",
        ),
        ("character device", Tar::default().entry("null", EntryType::Char, |_| {}, b"").end(), "is a device"),
        ("sparse file", Tar::default().entry("s", EntryType::GNUSparse, |_| {}, b"").end(), "sparse"),
        (
            "sparse file in PAX",
            Tar::default().pax(&[("GNU.sparse.major", b"1")]).file("s", b"").end(),
            "sparse",
        ),
        ("unknown kind", Tar::default().entry("v", EntryType::new(b'V'), |_| {}, b"").end(), "not known"),
        (
            "link with content",
            Tar::default().entry("l", EntryType::Symlink, |_| {}, b"x").end(),
            "with content",
        ),
        ("link to nothing", Tar::default().link("l", EntryType::Symlink, "").end(), "bad target"),
        ("long name", Tar::default().pax(&[("path", long.as_bytes())]).file("x", b"").end(), "more than 255"),
        ("deep", Tar::default().pax(&[("path", deep.as_bytes())]).file("x", b"").end(), "256 directories"),
        ("NUL in PAX", Tar::default().pax(&[("path", b"a\0b")]).file("x", b"").end(), "NUL"),
        (
            "PAX without length",
            Tar::default().entry("x", EntryType::XHeader, |_| {}, b"path=x\n").end(),
            "malformed",
        ),
        (
            "PAX longer than it is",
            Tar::default().entry("x", EntryType::XHeader, |_| {}, b"99 path=x\n").end(),
            "malformed",
        ),
        (
            "PAX of a gigabyte",
            Tar::default().entry("x", EntryType::XHeader, |header| header.set_size(1 << 30), b"").end(),
            "an extension of 1073741824 bytes",
        ),
        (
            "GNU name of a gigabyte",
            Tar::default().entry("x", EntryType::GNULongName, |header| header.set_size(1 << 30), b"").end(),
            "an extension of",
        ),
        (
            "global header that renames",
            Tar::default()
                .entry("g", EntryType::XGlobalHeader, |_| {}, &crate::tars::record("path", b"x"))
                .end(),
            "global header",
        ),
        ("PAX size that lies", Tar::default().pax(&[("size", b"9000")]).file("x", b"12").end(), "cut"),
        (
            "PAX size beyond all",
            Tar::default().pax(&[("size", b"18446744073709551615")]).file("x", b"").end(),
            "more than",
        ),
        (
            "too many bytes",
            Tar::default().file("a", &[1; 6000]).file("a", &[1; 6000]).end(),
            "more than 10000 bytes",
        ),
        (
            "too many entries",
            (0..11).fold(Tar::default(), |tar, n| tar.file(&n.to_string(), b"")).end(),
            "more than 10 files",
        ),
        (
            "foreign owner",
            Tar::default().entry("x", EntryType::Regular, |h| h.set_uid(65536), b"").end(),
            "up to 65535",
        ),
        ("whiteout of nothing", Tar::default().file(".wh.", b"").end(), "whiteout of nothing"),
        (
            "whiteout of the parent",
            Tar::default().directory("a").file("a/.wh...", b"").end(),
            "whiteout of nothing",
        ),
        (
            "directory with entries becomes a file",
            Tar::default().file("a/b", b"").file("a", b"").end(),
            "was a directory with entries",
        ),
        ("cut between entries", Tar::default().file("a", b"x").cut(), "the tar is cut"),
        ("cut in content", Tar::default().file("a", &[1; 5000]).cut()[..1024].to_vec(), "the tar is cut"),
        ("cut in a header", Tar::default().file("a", b"").cut()[..300].to_vec(), "the tar is cut"),
        ("no tar", vec![b'x'; 4096], "checksum"),
        ("nothing", Vec::new(), "the tar is cut"),
        ("two tars", [Tar::default().end(), Tar::default().file("b", b"").end()].concat(), "after the end"),
        ("endless zeros", vec![0; 3 * 1024 * 1024], "after the end"),
        ("gzip of something else", gzip(b"hello"), "the tar is cut"),
        ("damaged gzip", gzip(&Tar::default().file("a", b"x").end())[..30].to_vec(), "cannot read the tar"),
    ];
    for (name, tar, reason) in cases {
        let text = refusal(&tar);
        assert!(text.contains(reason), "{name}: {text}");
    }
}

#[test]
fn a_damaged_header_is_named_by_its_place() {
    let mut tar = Tar::default().file("first", b"x").file("second", b"y").end();
    tar[1024] ^= 1;
    assert!(refusal(&tar).contains("at byte 1024"), "{}", refusal(&tar));
}

#[test]
fn names_chosen_by_strangers_cannot_write_to_the_terminal() {
    let text = refusal(&Tar::default().file("\u{1b}[31m/../x", b"").end());
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}"), "{text}");
}

#[test]
fn without_its_limits_a_tar_of_any_size_is_unpacked() {
    let many = (0..11).fold(Tar::default(), |tar, number| tar.file(&format!("f{number}"), b""));
    for tar in [many.end(), Tar::default().file("large", &[0; 10_001]).end()] {
        assert!(refusal(&tar).contains("more than"), "{}", refusal(&tar));
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&Paths::new(home.path().join("data"), home.path())).unwrap();
        let unlimited = UnpackLimits { max_entries: u64::MAX, max_bytes: u64::MAX };
        assert!(store.unpack_layer(tar.as_slice(), unlimited).is_ok());
    }
}
