//! git's framing: packets read back as written, and a watched stream is whole exactly when it can be read to a flush.

use git::pktline::{self, MAX_PACKET_BYTES, Packet, Watch};

pub(crate) fn run(bytes: &[u8]) {
    let (mut rest, mut written, mut last_is_flush) = (bytes, Vec::new(), false);
    let mut between = true;
    while !rest.is_empty() {
        match pktline::read(&mut rest) {
            Ok(Packet::Flush) => {
                pktline::flush(&mut written).unwrap();
                last_is_flush = true;
            }
            Ok(Packet::Data(data)) => {
                assert!(data.len() <= MAX_PACKET_BYTES - 4);
                pktline::write(&mut written, &data).unwrap();
                last_is_flush = false;
            }
            Err(_) => {
                between = false;
                break;
            }
        }
    }
    if between {
        // Digits may be of either case; nothing else differs.
        assert!(written.eq_ignore_ascii_case(bytes));
    }
    // However the bytes are cut on their way, the answer is the same.
    let step = bytes.first().map_or(1, |first| usize::from(*first) % 9 + 1);
    let mut watch = Watch::default();
    bytes.chunks(step).for_each(|chunk| watch.see(chunk));
    assert_eq!(watch.between_packets(), between);
    assert_eq!(watch.complete(), between && last_is_flush);
}
