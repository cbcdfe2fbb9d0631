//! Whose a request is, what a backend hears of it, and what is refused.

use super::{NOBODY, PATIENCE, World, listening_tool, read_head, status, tool};
use crate::{State, upstream::Patience};
use std::{
    io::{Read, Write},
    time::Duration,
};

#[test]
fn a_request_reaches_the_tool_of_its_host_with_clean_headers() {
    let (answer, heard) = listening_tool();
    let world = World::with_tool(answer);
    let answer = world.say(
        b"GET http://WordCount.localhost:80/a%2Fb?c=d HTTP/1.1\r\nHost: wordcount.localhost:80\r\nAccept: */*\r\n\
          X-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\nX-Request-Id: client-id-1\r\nX-Secret: 1\r\n\
          Connection: close, X-Secret\r\nTE: trailers\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert!(answer.contains("x-request-id: client-id-1\r\n"));
    let heard = heard.recv().unwrap();
    let mut lines: Vec<&str> = heard.trim_end().split("\r\n").collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            "GET /a%2Fb?c=d HTTP/1.1",
            "accept: */*",
            "connection: close",
            "host: wordcount.localhost:80",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: wordcount.localhost:80",
            "x-forwarded-proto: http",
            "x-request-id: client-id-1",
        ]
    );
}

#[test]
fn a_request_that_can_be_read_in_two_ways_reaches_nobody() {
    let (answer, heard) = listening_tool();
    // Some of these connections could carry a next request, and end when none comes.
    let mut world = World::with_patience(Patience { head: Duration::from_secs(1), ..PATIENCE });
    world.route(State::Serving, &[tool(answer)]);
    for request in [
        "POST / HTTP/1.1\r\nHost: wordcount.localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nHost: wordcount.localhost\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: wordcount.localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: wordcount.localhost\r\nHost: other.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : wordcount.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: wordcount.localhost\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://other.localhost/ HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n",
    ] {
        assert_eq!(status(&world.say(request.as_bytes())), "400", "{request:?}");
    }
    assert_eq!(
        status(&world.say(b"TRACE / HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: close\r\n\r\n")),
        "405"
    );
    assert!(heard.try_recv().is_err());
}

#[test]
fn a_path_reaches_the_tool_as_it_was_written() {
    let (answer, heard) = listening_tool();
    let world = World::with_tool(answer);
    for path in ["//..%2f..%2fetc/passwd", "/../../x", "/.git/config?a=%00", "/%2e%2e/%2f"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&world.say(request.as_bytes())), "200", "{path}");
        assert!(heard.recv().unwrap().starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{path}");
    }
}

#[test]
fn a_head_that_is_too_large_is_refused_and_reaches_nobody() {
    let (answer, heard) = listening_tool();
    let world = World::with_tool(answer);
    let many = "X-Many: 1\r\n".repeat(200);
    for lines in [format!("X-Large: {}\r\n", "x".repeat(100_000)), many] {
        assert_eq!(status(&world.get("wordcount.localhost", &lines)), "431", "{} bytes", lines.len());
    }
    assert!(heard.try_recv().is_err());
}

#[test]
fn a_request_with_two_lengths_is_framed_anew_and_what_follows_it_is_never_read() {
    // RFC 9112 §6.3: Transfer-Encoding wins and the connection is closed.
    for lengths in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
    {
        let (answer, heard) = listening_tool();
        let world = World::with_tool(answer);
        let hidden = "GET /hidden HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n";
        let request =
            format!("POST / HTTP/1.1\r\nHost: wordcount.localhost\r\n{lengths}\r\n\r\n0\r\n\r\n{hidden}");
        assert_eq!(world.say(request.as_bytes()).matches("HTTP/1.1 ").count(), 1);
        let heard_head = heard.recv().unwrap();
        assert!(heard_head.contains("transfer-encoding: chunked") && !heard_head.contains("content-length"));
        assert!(heard.recv_timeout(Duration::from_millis(200)).is_err());
    }
}

#[test]
fn two_requests_on_one_connection_reach_the_tool_as_two() {
    let (answer, heard) = listening_tool();
    let world = World::with_tool(answer);
    let answer = world.say(
        b"GET /one HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n\
          GET /two HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(heard.recv().unwrap().starts_with("GET /one "));
    assert!(heard.recv().unwrap().starts_with("GET /two "));
}

#[test]
fn every_state_of_a_tool_has_its_page() {
    let mut world = World::new();
    for (state, expected, words) in [
        (State::Starting, "503", "wordcount is starting"),
        (State::Stopped, "503", "wordcount is stopped"),
        (State::Failed, "503", "wordcount does not stay up"),
        (State::Empty, "404", "wordcount has nothing to show yet"),
    ] {
        world.route(state, &[]);
        let plain = world.get("wordcount.localhost", "");
        assert_eq!(status(&plain), expected);
        assert!(plain.contains("text/plain") && plain.contains(words), "{plain}");
        assert_eq!(plain.contains("retry-after"), matches!(state, State::Starting | State::Failed));
        let page = world.get("wordcount.localhost", "Accept: text/html\r\n");
        assert!(page.contains("text/html") && page.contains(&format!("<h1>{words}</h1>")), "{page}");
    }
    let unknown = world.get("nobody.localhost:8080", "");
    assert_eq!(status(&unknown), "404");
    assert!(unknown.contains("There is no tool at nobody.localhost"));
}

#[test]
fn a_tool_that_does_not_answer_gets_a_page_and_not_silence() {
    // Nothing listens.
    let mut world = World::new();
    world.route(State::Serving, &[NOBODY]);
    let tools_fault = |world: &World, expected: &str| {
        let page = world.get("wordcount.localhost", "");
        assert!(status(&page) == expected && page.contains("windlass logs"), "{page}");
        assert!(!page.contains("the platform's fault"), "{page}");
    };
    tools_fault(&world, "502");
    // It listens and goes away.
    let gone = tool(drop);
    world.route(State::Serving, &[gone]);
    tools_fault(&world, "502");
    // It says something that is no HTTP.
    let babble = tool(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"hello there\r\n\r\n");
    });
    world.route(State::Serving, &[babble]);
    tools_fault(&world, "502");
    // No backend at all, though it is said to serve; one to which this machine knows no way.
    for backends in [&[][..], &["255.255.255.255:80".parse().unwrap()]] {
        world.route(State::Serving, backends);
        let page = world.get("wordcount.localhost", "");
        assert!(status(&page) == "502" && page.contains("cannot be reached"), "{page}");
        assert!(page.contains("the platform's fault, not yours"), "{page}");
    }
    // It listens and is silent.
    let mut world = World::with_patience(Patience { tool_answer: Duration::from_millis(600), ..PATIENCE });
    let silent = tool(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    world.route(State::Serving, &[silent]);
    tools_fault(&world, "504");
}

#[test]
fn a_copy_that_is_gone_is_passed_over() {
    let (answer, _heard) = listening_tool();
    let mut world = World::new();
    let open = tool(answer);
    world.route(State::Serving, &[NOBODY, open]);
    for _ in 0..4 {
        assert_eq!(status(&world.get("wordcount.localhost", "")), "200");
    }
}

#[test]
fn a_connection_can_become_a_web_socket() {
    let world = World::with_tool(|mut stream| {
        let head = read_head(&mut stream);
        assert!(
            head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
            "{head}"
        );
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            .unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&[b"heard ", &word[..]].concat()).unwrap();
    });
    let mut stream = world.connect();
    stream
        .write_all(b"GET /socket HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket"), "{head}");
    stream.write_all(b"ping").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "heard ping");
}

#[test]
fn a_tool_that_switches_unasked_is_not_followed() {
    let world = World::with_tool(|mut stream| {
        read_head(&mut stream);
        let _ = stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    });
    assert_eq!(status(&world.get("wordcount.localhost", "")), "502");
}
