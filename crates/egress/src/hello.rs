//! The server name in a TLS client hello, read without opening TLS (RFC 8446 §4.1.2, §5.1; RFC 6066 §3).
//!
//! A pure function over the bytes received so far: bounded, total, no allocation beyond the hello itself.

use crate::name;

/// What the first bytes of a TLS connection say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// Read more bytes and ask again.
    Incomplete,
    /// A whole hello with one server name of the grammar, in lower case.
    Host(String),
    /// A whole hello whose server name breaks the grammar; shown form.
    BadHost(String),
    /// A whole hello without a server name.
    NoHost,
    /// Not a TLS client hello.
    NotTls,
}

/// Longest hello that is read, in bytes. Post-quantum key shares need about 2 KiB.
pub const MAX_HELLO_BYTES: usize = 32 * 1024;

const RECORD_HANDSHAKE: u8 = 22;
const MAX_RECORD_BYTES: usize = 1 << 14;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_TYPE_HOST: u8 = 0;

/// Reads the server name from the bytes that a client has sent so far.
pub fn sni(bytes: &[u8]) -> Hello {
    match handshake(bytes) {
        Ok(message) => match server_name(&message) {
            Some([]) => Hello::NoHost,
            Some(host) => name::host(host).map_or_else(|| Hello::BadHost(name::shown(host)), Hello::Host),
            None => Hello::NotTls,
        },
        Err(other) => other,
    }
}

/// The body of the client hello, put together from as many records as it is spread over.
fn handshake(bytes: &[u8]) -> Result<Vec<u8>, Hello> {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        if rest.first().is_some_and(|kind| *kind != RECORD_HANDSHAKE)
            || rest.get(1).is_some_and(|major| *major != 3)
        {
            return Err(Hello::NotTls);
        }
        let [_, _, _, high, low, body @ ..] = rest else { return Err(Hello::Incomplete) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_RECORD_BYTES {
            return Err(Hello::NotTls);
        }
        let present = &body[..length.min(body.len())];
        message.extend_from_slice(present);
        if let [kind, a, b, c, hello @ ..] = message.as_slice() {
            let wanted = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if *kind != HANDSHAKE_CLIENT_HELLO || wanted > MAX_HELLO_BYTES {
                return Err(Hello::NotTls);
            }
            if let Some(hello) = hello.get(..wanted) {
                return Ok(hello.to_vec());
            }
        }
        rest = body.get(length..).ok_or(Hello::Incomplete)?;
    }
}

/// The server name, empty when there is none. `None`: malformed, which two names or two extensions are too.
fn server_name(hello: &[u8]) -> Option<&[u8]> {
    let mut hello = Fields(hello);
    hello.take(2 + 32)?;
    hello.vector::<1>()?;
    hello.vector::<2>()?;
    hello.vector::<1>()?;
    if hello.0.is_empty() {
        return Some(&[]);
    }
    let mut extensions = Fields(hello.vector::<2>()?);
    if !hello.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number::<2>()?;
        let body = extensions.vector::<2>()?;
        if kind == usize::from(EXTENSION_SERVER_NAME) {
            if found.is_some() {
                return None;
            }
            found = Some(only_host(body)?);
        }
    }
    Some(found.unwrap_or_default())
}

fn only_host(extension: &[u8]) -> Option<&[u8]> {
    let mut extension = Fields(extension);
    let mut names = Fields(extension.vector::<2>()?);
    let kind = names.number::<1>()?;
    let host = names.vector::<2>()?;
    (kind == usize::from(NAME_TYPE_HOST) && names.0.is_empty() && extension.0.is_empty()).then_some(host)
}

/// Reads TLS presentation language fields off the front (RFC 8446 §3).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number<const BYTES: usize>(&mut self) -> Option<usize> {
        Some(self.take(BYTES)?.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    }

    /// A vector whose length stands before it in `BYTES` bytes.
    fn vector<const BYTES: usize>(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<BYTES>()?;
        self.take(length)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sized<const BYTES: usize>(body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u64).to_be_bytes()[8 - BYTES..].to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), sized::<2>(body)].concat()
    }

    pub(crate) fn server_names(hosts: &[&str]) -> Vec<u8> {
        let names: Vec<u8> =
            hosts.iter().flat_map(|host| [vec![0], sized::<2>(host.as_bytes())].concat()).collect();
        extension(0, &sized::<2>(&names))
    }

    /// A client hello with these extensions, in records of at most `record` bytes.
    pub(crate) fn hello(extensions: &[u8], record: usize) -> Vec<u8> {
        let body = [vec![3, 3], vec![7; 32], sized::<1>(&[1; 32]), sized::<2>(&[0x13, 1]), sized::<1>(&[0])]
            .concat();
        let body = [body, sized::<2>(extensions)].concat();
        let message = [vec![1], sized::<3>(&body)].concat();
        message.chunks(record).flat_map(|part| [vec![22, 3, 1], sized::<2>(part)].concat()).collect()
    }

    #[test]
    fn the_server_name_is_found_whatever_stands_around_it() {
        let extensions =
            [extension(43, &[2, 3, 4]), server_names(&["PyPI.org"]), extension(51, &[0; 1200])].concat();
        for record in [1, 7, 100, 16_000] {
            assert_eq!(sni(&hello(&extensions, record)), Hello::Host("pypi.org".to_owned()), "{record}");
        }
    }

    #[test]
    fn every_shorter_prefix_is_incomplete_and_never_a_wrong_answer() {
        let whole = hello(&server_names(&["pypi.org"]), 50);
        for length in 0..whole.len() {
            assert_eq!(sni(&whole[..length]), Hello::Incomplete, "{length}");
        }
    }

    #[test]
    fn a_hello_that_names_no_host_or_two_is_told_from_one_that_is_broken() {
        assert_eq!(sni(&hello(&extension(43, &[2, 3, 4]), 16_000)), Hello::NoHost);
        assert_eq!(sni(&hello(&server_names(&["a.example", "b.example"]), 16_000)), Hello::NotTls);
        let twice = [server_names(&["a.example"]), server_names(&["b.example"])].concat();
        assert_eq!(sni(&hello(&twice, 16_000)), Hello::NotTls);
        assert_eq!(
            sni(&hello(&server_names(&["127.0.0.1"]), 16_000)),
            Hello::BadHost("127.0.0.1".to_owned())
        );
        assert_eq!(sni(b"GET / HTTP/1.1\r\n\r\n"), Hello::NotTls);
        assert_eq!(sni(&[22, 3, 1, 0xff, 0xff]), Hello::NotTls);
        assert_eq!(sni(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), Hello::NotTls);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            sni(&bytes);
            sni(&[vec![22, 3, 1], sized::<2>(&bytes)].concat());
        }

        #[test]
        fn a_changed_byte_never_panics(position in 0usize..150, value in any::<u8>()) {
            let mut bytes = hello(&server_names(&["pypi.org"]), 40);
            let position = position % bytes.len();
            bytes[position] = value;
            sni(&bytes);
        }
    }
}
