//! A copy is replaced: what is under way to it ends whole, what comes goes to the next one.

use super::{NOBODY, WHILE, World, echo, open_web_socket, read_head, tool};
use crate::{Control, ControlError, Drained, State, Table};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

/// Sends a request on an open connection and reads an answer of five bytes.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n").unwrap();
    assert!(read_head(stream).starts_with("HTTP/1.1 200 "));
    let mut body = [0; 5];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn says(word: &'static str) -> SocketAddr {
    tool(move |mut stream| {
        read_head(&mut stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{word}").unwrap();
    })
}

impl World {
    fn control(&self) -> Control {
        Control::new(&self.paths.router_sockets())
    }

    pub(super) fn backends(&self) -> Vec<SocketAddr> {
        let table = std::fs::read(self.paths.route_table()).unwrap();
        let table: Table = serde_json::from_slice(&table).unwrap();
        table.routes.iter().flat_map(|route| &route.backends).map(|backend| backend.address).collect()
    }

    /// Starts to drain; the receiver gets what came of it.
    pub(super) fn drain(&self, backend: SocketAddr, deadline: Duration) -> Receiver<Drained> {
        let (sender, receiver) = channel();
        let control = self.control();
        self.runtime.spawn(async move {
            let drained = control.drain(backend, deadline).await.unwrap();
            sender.send(drained).unwrap();
        });
        receiver
    }

    fn open(&self) -> u64 {
        self.runtime.block_on(self.control().statistics()).unwrap().open
    }
}

#[test]
fn a_download_ends_whole_before_its_copy_is_drained_and_connections_stay_open_over_the_switch() {
    let mut world = World::new();
    let (go, gone) = channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let old = tool(move |mut stream| {
        let head = read_head(&mut stream);
        if head.starts_with("GET /long ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
            gone.lock().unwrap().recv().unwrap();
            stream.write_all(b" last").unwrap();
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nold..").unwrap();
        }
    });
    world.route(State::Serving, &[old]);
    let mut kept = world.connect();
    assert_eq!(ask(&mut kept), "old..");
    let mut long = world.connect();
    long.write_all(b"GET /long HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: close\r\n\r\n").unwrap();
    read_head(&mut long);

    world.route(State::Serving, &[says("new..")]);
    let drained = world.drain(old, WHILE);
    assert_eq!(ask(&mut kept), "new..", "the client's connection is the same");
    assert!(drained.recv_timeout(Duration::from_millis(300)).is_err(), "the download is under way");
    assert_eq!(world.runtime.block_on(world.control().open(old)).unwrap(), 1);
    go.send(()).unwrap();
    let mut body = String::new();
    long.read_to_string(&mut body).unwrap();
    assert_eq!(body, "first last");
    let drained = drained.recv_timeout(WHILE).unwrap();
    assert_eq!(drained, Drained { open: 1, cut: 0 });
    assert_eq!(world.open(), 0);
}

#[test]
fn what_outlives_the_deadline_is_cut_and_counted() {
    let mut world = World::new();
    let old = tool(echo);
    world.route(State::Serving, &[old]);
    let mut sockets = [open_web_socket(&world), open_web_socket(&world)];
    assert_eq!(world.open(), 2);
    world.route(State::Serving, &[says("new..")]);
    let started = Instant::now();
    let drained = world.drain(old, Duration::from_secs(1)).recv_timeout(WHILE).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "they have their time");
    assert_eq!(drained, Drained { open: 2, cut: 2 });
    for socket in &mut sockets {
        assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0, "cut");
    }
    let until = Instant::now() + WHILE;
    while world.open() > 0 {
        assert!(Instant::now() < until, "nothing is counted for ever");
    }
}

#[test]
fn a_copy_that_still_gets_requests_is_not_drained() {
    let mut world = World::new();
    let present = says("here.");
    world.route(State::Serving, &[present]);
    let refused = world.runtime.block_on(world.control().drain(present, Duration::from_secs(5)));
    assert!(matches!(refused, Err(ControlError::Refused(text)) if text.contains("still leads to")));
    let stranger = "127.0.0.1:9".parse().unwrap();
    let nothing = world.runtime.block_on(world.control().drain(stranger, Duration::from_secs(5)));
    assert_eq!(nothing.unwrap(), Drained::default());
}

#[test]
fn a_request_that_no_copy_has_seen_is_tried_again_and_that_is_counted() {
    let mut world = World::new();
    let present = says("here.");
    world.route(State::Serving, &[NOBODY, present]);
    for _ in 0..4 {
        assert_eq!(ask(&mut world.connect()), "here.");
    }
    let statistics = world.runtime.block_on(world.control().statistics()).unwrap();
    assert_eq!(statistics.requests, 4);
    assert!((1..=4).contains(&statistics.retries), "{statistics:?}");
}
