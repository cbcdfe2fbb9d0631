//! The server name of a TLS hello: decided once, whatever comes after, and always a host name.

use egress::{
    hello::{Hello, sni},
    name,
};

pub(crate) fn run(bytes: &[u8]) {
    let whole = sni(bytes);
    match &whole {
        Hello::Host(host) => assert_eq!(name::host(host.as_bytes()).as_deref(), Some(host.as_str())),
        Hello::BadHost(shown) => {
            crate::is_harmless(shown);
            assert!(shown.len() <= 80);
        }
        Hello::Incomplete | Hello::NoHost | Hello::NotTls => {}
    }
    // What was decided on the first bytes holds for all of them: nobody can change the name afterwards.
    for cut in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
        let early = sni(&bytes[..cut]);
        assert!(early == Hello::Incomplete || early == whole, "{early:?} after {cut} bytes, then {whole:?}");
    }
}
