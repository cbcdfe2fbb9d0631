//! pkt-lines: git's framing (gitprotocol-common(5)): four hex digits of length, themselves included, then bytes.

use std::io::{self, Read, Write};

/// Longest packet, header included (gitprotocol-common(5)).
pub const MAX_PACKET_BYTES: usize = 65_520;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    Flush,
    Data(Vec<u8>),
}

/// Reads one packet.
///
/// # Errors
/// `InvalidData` for a length that is no length, `UnexpectedEof` when the stream ends inside a packet.
pub fn read(from: &mut impl Read) -> io::Result<Packet> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    match length(head)? {
        0 => Ok(Packet::Flush),
        size => {
            let mut data = vec![0; size - 4];
            from.read_exact(&mut data)?;
            Ok(Packet::Data(data))
        }
    }
}

/// Writes one data packet.
pub fn write(to: &mut impl Write, data: &[u8]) -> io::Result<()> {
    to.write_all(&encode(data))
}

/// Writes a flush packet.
pub fn flush(to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"0000")?;
    to.flush()
}

/// One data packet as bytes. Longer data is cut at the longest packet.
pub fn encode(data: &[u8]) -> Vec<u8> {
    let data = &data[..data.len().min(MAX_PACKET_BYTES - 4)];
    let mut packet = format!("{:04x}", data.len() + 4).into_bytes();
    packet.extend_from_slice(data);
    packet
}

/// The first packet of these bytes and its whole length, header included: `None` inside for a flush packet, `None`
/// outside while it is not whole.
///
/// # Errors
/// `InvalidData` for a length that is no length.
#[expect(clippy::type_complexity, reason = "three cases, each named above")]
pub fn next(bytes: &[u8]) -> io::Result<Option<(Option<&[u8]>, usize)>> {
    let Some(head) = bytes.first_chunk::<4>() else { return Ok(None) };
    match length(*head)? {
        0 => Ok(Some((None, 4))),
        size => Ok(bytes.get(4..size).map(|data| (Some(data), size))),
    }
}

/// 0 for a flush packet, else the whole packet's length.
fn length(head: [u8; 4]) -> io::Result<usize> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "not a pkt-line length");
    let text = std::str::from_utf8(&head).map_err(|_| bad())?;
    if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(bad());
    }
    match usize::from_str_radix(text, 16).map_err(|_| bad())? {
        0 => Ok(0),
        size @ 4..=MAX_PACKET_BYTES => Ok(size),
        _ => Err(bad()),
    }
}

/// Where a stream of packets stands, so that a body that git left unfinished is never ended as if it were whole:
/// a client waits for ever for the final flush (docs/git.md).
#[derive(Debug, Default)]
pub struct Watch {
    head: Vec<u8>,
    left: usize,
    ended_with_flush: bool,
    broken: bool,
}

impl Watch {
    /// Sees the next bytes of the stream.
    pub fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.broken {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            let taken = (4 - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let Ok(head) = <[u8; 4]>::try_from(self.head.as_slice()) {
                self.head.clear();
                match length(head) {
                    Ok(0) => self.ended_with_flush = true,
                    Ok(size) => {
                        self.left = size - 4;
                        self.ended_with_flush = false;
                    }
                    Err(_) => self.broken = true,
                }
            }
        }
    }

    /// The stream may end here: the last thing seen was a flush packet.
    pub fn complete(&self) -> bool {
        self.ended_with_flush && self.between_packets()
    }

    /// No packet is cut in its middle, so another one may be appended.
    pub fn between_packets(&self) -> bool {
        !self.broken && self.left == 0 && self.head.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_read_back_as_written() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"hello").unwrap();
        flush(&mut bytes).unwrap();
        assert_eq!(bytes, b"0009hello0000");
        let mut from = bytes.as_slice();
        assert_eq!(read(&mut from).unwrap(), Packet::Data(b"hello".to_vec()));
        assert_eq!(read(&mut from).unwrap(), Packet::Flush);
        assert!(read(&mut from).is_err());
    }

    #[test]
    fn a_length_that_is_none_is_refused() {
        for bad in [&b"0001"[..], b"0003", b"fff1xx", b"zzzz", b"-001", b"+00a123456"] {
            assert!(read(&mut &*bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_watched_stream_is_complete_only_after_its_last_flush() {
        let mut watch = Watch::default();
        for (bytes, complete, between) in [
            (&b"00"[..], false, false),
            (b"09hel", false, false),
            (b"lo", false, true),
            (b"0000", true, true),
            (b"0005", false, false),
        ] {
            watch.see(bytes);
            assert_eq!((watch.complete(), watch.between_packets()), (complete, between), "{bytes:?}");
        }
    }
}
