//! The head of a plain HTTP request from a build: what goes on is one request for the host that was judged.

use egress::{
    head::{Head, head},
    name,
};

pub(crate) fn run(bytes: &[u8]) {
    let whole = head(bytes, 80);
    for cut in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
        let early = head(&bytes[..cut], 80);
        // A broken line may be told before or after the end of the head; a request is told once.
        let consistent = early == Head::Incomplete || early == whole || matches!(early, Head::Bad { .. });
        assert!(consistent, "{early:?} after {cut} bytes, then {whole:?}");
    }
    let Head::Request { host, forward } = whole else { return };
    assert_eq!(name::host(host.as_bytes()).as_deref(), Some(host.as_str()));
    // Read again, it is the same request: nothing in it can be read in a second way.
    assert_eq!(head(&forward, 80), Head::Request { host: host.clone(), forward: forward.clone() });
    let text = String::from_utf8_lossy(&forward).to_ascii_lowercase();
    assert_eq!(text.matches("\r\nhost:").count(), 1);
    assert_eq!(text.matches("\r\n\r\n").count(), 1);
    assert!(!text.contains("\r\ntransfer-encoding:") && !text.contains("\r\nupgrade:"));
    assert!(text.ends_with(&format!("\r\nhost: {host}\r\nconnection: close\r\n\r\n")));
}
