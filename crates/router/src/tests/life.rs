//! Tables, restarts, limits and the rows of requests.

use super::{PATIENCE, WHILE, World, echo, listening_tool, open_web_socket, read_head, status, tool};
use crate::{Control, ControlError, State, Table, upstream::Patience};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_new_router_goes_on_with_the_table_of_the_old_one() {
    let (answer, _heard) = listening_tool();
    let mut world = World::with_tool(answer);
    world.stop();
    world.start();
    assert!(world.get("wordcount.localhost", "").ends_with("hello"));
}

#[test]
fn a_table_is_answered_by_once_it_is_applied_and_an_older_one_is_refused() {
    let (answer, _heard) = listening_tool();
    let mut world = World::with_tool(answer);
    world.route(State::Stopped, &[]);
    assert_eq!(status(&world.get("wordcount.localhost", "")), "503");
    let old = Table { generation: 1, ..Table::default() };
    let refused = world.runtime.block_on(Control::new(&world.paths.router_sockets()).apply(&old));
    assert!(
        matches!(refused, Err(ControlError::Refused(text)) if text.contains("older than the present one"))
    );
}

#[test]
fn open_requests_end_whole_when_the_router_is_told_to_end() {
    let mut world = World::with_tool(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
        thread::sleep(Duration::from_millis(500));
        stream.write_all(b" last").unwrap();
    });
    let mut open = world.connect();
    open.write_all(b"GET / HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n").unwrap();
    read_head(&mut open);
    let idle = world.connect();
    let started = Instant::now();
    world.stop();
    assert!(started.elapsed() < WHILE, "an idle connection is not waited for");
    let mut body = String::new();
    open.read_to_string(&mut body).unwrap();
    assert_eq!(body, "first last");
    drop(idle);
}

#[test]
fn a_slow_head_is_cut() {
    let world = World::with_patience(HURRIED);
    let answer = until_it_begins_in_time(|| all_of(slow_head(&world)));
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.ends_with("Send it again on a new connection.\n"), "{answer}");
}

#[test]
fn without_a_limit_on_heads_a_slow_one_keeps_its_place_for_as_long_as_it_likes() {
    let (answer, _heard) = listening_tool();
    let world = World::with_tool(answer);
    let mut stream = slow_head(&world);
    stream.write_all(b"\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(status(&all_of(stream)), "200");
}

/// Sends a head byte by byte, for longer than [`HURRIED`] heads may take, as far as it is let.
fn slow_head(world: &World) -> TcpStream {
    let mut stream = world.connect();
    for byte in b"GET / HTTP/1.1\r\nHost: wordcount.localhost\r\nX-Slow: 1234567890" {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    stream
}

#[test]
fn thousands_of_idle_connections_hold_nobody_up_and_end_by_themselves() {
    // Both ends are in this process, and the router keeps half of its descriptors for tools.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(65_536).min(65_536);
    // Few in the default lane; `make idle` asks for more, and waits longer for their end.
    let wanted = std::env::var("WINDLASS_IDLE").map_or(200, |number| number.parse().unwrap());
    let idle = usize::try_from(most.saturating_sub(2000) / 2).unwrap().clamp(1, wanted);
    let head = Duration::from_secs(if wanted > 200 { 60 } else { 5 });
    let raised = rustix::process::Rlimit { current: Some(most), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let (answer, _heard) = listening_tool();
    let mut world = World::with_patience(Patience { head, ..PATIENCE });
    world.route(State::Serving, &[tool(answer)]);
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    let open: Vec<TcpStream> = (0..idle).map(|_| world.connect()).collect();
    let mut asked = Instant::now();
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        assert!(world.get("wordcount.localhost", "").ends_with("hello"));
        slowest = slowest.max(asked.elapsed());
        asked = Instant::now();
    }
    // Other tests of this process give back memory meanwhile.
    let each = resident().saturating_sub(before) / u64::try_from(idle).unwrap();
    println!("{idle} idle connections: {each} B each, slowest of 100 answers {slowest:?}");
    for mut stream in open {
        stream.set_read_timeout(Some(4 * WHILE)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it is still open");
    }
}

#[test]
fn a_connection_on_which_nothing_comes_ends_without_a_word() {
    let (answer, _heard) = super::listening_tool();
    let mut world = World::with_patience(HURRIED);
    world.route(State::Serving, &[tool(answer)]);
    assert_eq!(all_of(world.connect()), "");
    // Nor after an answer, where a client may be sending its next request just now.
    let answer = until_it_begins_in_time(|| {
        let mut stream = world.connect();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n");
        all_of(stream)
    });
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

/// Ends what is idle or slow soon.
const HURRIED: Patience = Patience { head: Duration::from_millis(500), ..PATIENCE };

/// All that comes until the router ends the connection.
fn all_of(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer takes nothing from it.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// Asks anew when this thread was held up for so long that its connection was idle, and ended without a word.
fn until_it_begins_in_time(ask: impl Fn() -> String) -> String {
    let until = Instant::now() + 2 * WHILE;
    loop {
        let answer = ask();
        if !answer.is_empty() {
            return answer;
        }
        assert!(Instant::now() < until, "it was never answered");
    }
}

#[test]
fn a_tool_that_hangs_takes_no_place_from_others() {
    let mut world = World::new();
    let hanging = tool(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0]);
    });
    world.route(State::Serving, &[hanging]);
    let request = b"GET / HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n";
    let open: Vec<_> = (0..512)
        .map(|_| {
            let mut stream = world.connect();
            stream.write_all(request).unwrap();
            read_head(&mut stream);
            stream
        })
        .collect();
    assert!(world.get("wordcount.localhost", "").contains("wordcount is busy"));
    assert_eq!(status(&world.get("nobody.localhost", "")), "404");
    drop(open);
    let until = Instant::now() + WHILE;
    loop {
        let mut again = world.connect();
        again.write_all(request).unwrap();
        if read_head(&mut again).starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(Instant::now() < until, "the places are given back");
    }
}

#[test]
fn a_web_socket_leaves_its_row_when_it_ends_or_is_cut_with_the_router() {
    let mut world = World::with_tool(echo);
    let mut left = open_web_socket(&world);
    thread::sleep(Duration::from_millis(300));
    left.write_all(b"ping").unwrap();
    left.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    left.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "ping");
    let open = open_web_socket(&world);
    let started = Instant::now();
    world.stop();
    assert!(started.elapsed() < WHILE, "an open web socket is not waited for");
    drop(open);
    let rows = world.rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].starts_with("GET /socket 101 9 B ") && !rows[0].ends_with(" cut"), "{}", rows[0]);
    let words: Vec<&str> = rows[0].split(' ').collect();
    assert!(words[5].parse::<f64>().unwrap() >= 300.0, "its whole time: {}", rows[0]);
    assert!(rows[1].starts_with("GET /socket 101 5 B ") && rows[1].ends_with(" cut"), "{}", rows[1]);
}

#[test]
fn an_open_web_socket_keeps_its_place_among_the_requests_of_its_tool() {
    let world = World::with_tool(echo);
    let open: Vec<_> = (0..512).map(|_| open_web_socket(&world)).collect();
    assert!(world.get("wordcount.localhost", "").contains("wordcount is busy"));
    drop(open);
    let until = Instant::now() + WHILE;
    while world.get("wordcount.localhost", "").contains("wordcount is busy") {
        assert!(Instant::now() < until, "the places are given back");
    }
}

#[test]
fn every_request_of_a_tool_leaves_a_row_without_address_or_query() {
    let (answer, _heard) = listening_tool();
    let mut world = World::with_tool(answer);
    let request = "GET /page?token=secret HTTP/1.1\r\nHost: wordcount.localhost\r\nX-Request-Id: request-1\r\nConnection: close\r\n\r\n";
    world.say(request.as_bytes());
    world.route(State::Stopped, &[]);
    world.get("wordcount.localhost", "X-Request-Id: request-2\r\n");
    world.get("nobody.localhost", "");
    world.stop();
    let rows = world.rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows[0].starts_with("GET /page 200 5 B ") && rows[0].ends_with(" ms v12 request-1"),
        "{}",
        rows[0]
    );
    assert!(
        rows[1].starts_with("GET / 503 0 B ") && rows[1].ends_with(" ms router request-2"),
        "{}",
        rows[1]
    );
    assert!(world.place.path().exists());
}
