//! Packs as no honest client makes them (gitformat-pack(5)): small on the wire, large once their objects are unfolded.

#![allow(clippy::unwrap_used, reason = "a helper of tests: it fails by panicking")]

use flate2::{Compression, write::ZlibEncoder};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Largest copy of one instruction of a delta.
const MAX_COPY_BYTES: usize = 0xff_ffff;

/// Objects on their way into one pack.
#[derive(Default)]
pub struct Pack {
    objects: Vec<u8>,
    count: u32,
}

/// A blob of a pack: its id, and its size as git sees it.
#[derive(Clone, Debug)]
pub struct Blob {
    pub id: String,
    pub size_bytes: usize,
}

impl Pack {
    /// A blob as it is.
    pub fn blob(&mut self, content: &[u8]) -> Blob {
        self.object(3, content.len(), &[], content);
        Blob { id: id("blob", content), size_bytes: content.len() }
    }

    /// A blob of so many zeros, made without holding them: a thousandth of it on the wire.
    pub fn zeros(&mut self, mebibytes: usize) -> Blob {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..mebibytes {
            encoder.write_all(&zeros).unwrap();
        }
        self.head(3, mebibytes << 20);
        self.objects.extend(encoder.finish().unwrap());
        let size_bytes = mebibytes << 20;
        let content =
            format!("{{ printf 'blob {size_bytes}\\0'; head -c {size_bytes} /dev/zero; }} | sha1sum");
        Blob { id: answer("sh", &["-c", &content], b"")[..40].to_owned(), size_bytes }
    }

    /// A delta: `base` so many times over, and these bytes behind. The id is right when `content` is what comes of it,
    /// and a made-up one without it.
    pub fn repeat(&mut self, base: &Blob, times: usize, behind: &[u8], content: Option<&[u8]>) -> Blob {
        let size_bytes = base.size_bytes * times + behind.len();
        let mut delta = [size(base.size_bytes), size(size_bytes)].concat();
        for _ in 0..times {
            let mut at = 0;
            while at < base.size_bytes {
                let length = MAX_COPY_BYTES.min(base.size_bytes - at);
                delta.extend(copy(at, length));
                at += length;
            }
        }
        if !behind.is_empty() {
            delta.push(u8::try_from(behind.len()).unwrap());
            delta.extend(behind);
        }
        // Of kind 7: the base is named by its id.
        self.object(7, delta.len(), &hex::decode(&base.id).unwrap(), &delta);
        let id = content.map_or_else(|| "1".repeat(40), |content| id("blob", content));
        Blob { id, size_bytes }
    }

    /// A commit of a tree with these blobs as its files, and its id.
    pub fn commit(&mut self, blobs: &[Blob]) -> String {
        let mut tree = Vec::new();
        for (number, blob) in blobs.iter().enumerate() {
            tree.extend(format!("100644 file{number:06}\0").bytes());
            tree.extend(hex::decode(&blob.id).unwrap());
        }
        self.object(2, tree.len(), &[], &tree);
        let who = "Maintainer <maintainer@example.org> 1700000000 +0000";
        let commit = format!("tree {}\nauthor {who}\ncommitter {who}\n\na bomb\n", id("tree", &tree));
        self.object(1, commit.len(), &[], commit.as_bytes());
        id("commit", commit.as_bytes())
    }

    /// The whole pack.
    pub fn bytes(self) -> Vec<u8> {
        let mut all = [b"PACK\0\0\0\x02", &self.count.to_be_bytes()[..], &self.objects].concat();
        let sum = answer("sha1sum", &[], &all);
        all.extend(hex::decode(&sum[..40]).unwrap());
        all
    }

    fn object(&mut self, kind: u8, size_bytes: usize, base: &[u8], content: &[u8]) {
        self.head(kind, size_bytes);
        self.objects.extend(base);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        self.objects.extend(encoder.finish().unwrap());
    }

    /// Kind and size of an object: four bits of the size, then seven at a time.
    fn head(&mut self, kind: u8, size_bytes: usize) {
        self.count += 1;
        let first = (kind << 4) | low(size_bytes, 4);
        let rest = size_bytes >> 4;
        self.objects.push(if rest > 0 { first | 0x80 } else { first });
        if rest > 0 {
            self.objects.extend(size(rest));
        }
    }
}

/// A push as bytes: one ref made at this object, and a pack.
pub fn request(name: &str, object: &str, pack: &[u8]) -> Vec<u8> {
    let line = format!("{} {object} {name}\0 report-status side-band-64k", "0".repeat(40));
    [format!("{:04x}{line}0000", line.len() + 4).as_bytes(), pack].concat()
}

/// Seven bits at a time, the lowest first.
fn size(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let bits = low(number, 7);
        number >>= 7;
        if number == 0 {
            bytes.push(bits);
            return bytes;
        }
        bytes.push(bits | 0x80);
    }
}

fn low(number: usize, bits: u32) -> u8 {
    u8::try_from(number & ((1 << bits) - 1)).unwrap()
}

/// The instruction of a delta that copies from its base.
fn copy(at: usize, length: usize) -> Vec<u8> {
    let mut code = vec![0x80];
    for (shift, number, bytes) in [(0, at, 4), (4, length, 3)] {
        for byte in 0..bytes {
            let bits = low(number >> (8 * byte), 8);
            if bits != 0 {
                code[0] |= 1 << (shift + byte);
                code.push(bits);
            }
        }
    }
    code
}

fn id(kind: &str, content: &[u8]) -> String {
    answer("git", &["hash-object", "--literally", "--stdin", "-t", kind], content)
}

fn answer(program: &str, words: &[&str], input: &[u8]) -> String {
    let mut child =
        Command::new(program).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {words:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
