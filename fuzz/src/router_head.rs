//! A request's head at the router, through hyper's own parser: one host, one meaning, nothing said in our name.

use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use router::fuzzing;
use std::{cell::RefCell, convert::Infallible, net::IpAddr, rc::Rc};
use tokio::{io::AsyncWriteExt, runtime::Runtime};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
}

pub(crate) fn run(bytes: &[u8]) {
    let heads = RUNTIME.with(|runtime| runtime.block_on(heads(bytes)));
    for (uri, headers) in heads {
        let switched = bytes.len().is_multiple_of(2);
        check_answer(&fuzzing::answer(headers.clone(), switched));
        let Ok(forwarded) = fuzzing::forward(&uri, headers, CLIENT) else { continue };
        check_host(&forwarded.host);
        check_request(&forwarded.headers, &forwarded.host);
    }
}

/// The heads that hyper finds in the bytes of one connection.
async fn heads(bytes: &[u8]) -> Vec<(http::Uri, HeaderMap)> {
    let (mut client, server) = tokio::io::duplex(256 * 1024);
    client.write_all(&bytes[..bytes.len().min(128 * 1024)]).await.unwrap();
    drop(client);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        sink.borrow_mut().push((request.uri().clone(), request.headers().clone()));
        async { Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new())) }
    });
    // Broken bytes end the connection; that is hyper's part.
    let _ =
        http1::Builder::new().max_buf_size(64 * 1024).serve_connection(TokioIo::new(server), service).await;
    seen.take()
}

fn check_host(host: &str) {
    assert!(!host.is_empty() && host.len() <= 253);
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-[]:".contains(&byte);
    assert!(host.bytes().all(letters), "{host:?}");
}

fn check_request(headers: &HeaderMap, host: &str) {
    for ours in ["host", "x-forwarded-host", "x-forwarded-for", "x-forwarded-proto", "x-request-id"] {
        assert_eq!(headers.get_all(ours).iter().count(), 1, "{ours}");
    }
    assert!(headers["host"].to_str().unwrap().starts_with(host));
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9");
    for (name, _) in headers {
        let name = name.as_str();
        assert!(!name.contains('_'), "{name}");
        let gone = ["transfer-encoding", "te", "trailer", "expect", "keep-alive", "proxy", "forwarded"];
        assert!(!gone.contains(&name), "{name}");
    }
    let connection = headers["connection"].to_str().unwrap();
    assert!(connection == "close" || connection == "upgrade" && headers.contains_key("upgrade"));
}

fn check_answer(headers: &HeaderMap) {
    assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("keep-alive"));
    assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
}
