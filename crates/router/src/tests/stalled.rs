//! Clients that stand still: they read nothing, or send a byte now and then. What they hold is let go of when its time
//! is over.

use super::{PATIENCE, WHILE, World, read_head, tool};
use crate::{Drained, State, upstream::Patience};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// A tool that answers without end, over a changed protocol when it is asked to, and one that waits for the whole
/// request. The receiver hears when a connection to it has ended.
fn endless() -> (SocketAddr, Receiver<()>) {
    let (sender, ended) = channel();
    let address = tool(move |mut stream| {
        let head = read_head(&mut stream);
        if head.starts_with("POST ") {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        } else {
            let answer = if head.starts_with("GET /socket ") {
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
            };
            stream.write_all(answer.as_bytes()).unwrap();
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        }
        let _ = sender.send(());
    });
    (address, ended)
}

const REQUESTS: [&str; 3] = [
    "GET /long HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n",
    "GET /socket HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: wordcount.localhost\r\nContent-Length: 1000000\r\n\r\n",
];

/// One client of each kind; none reads its answer, the last goes on to send a byte now and then.
fn stalled(world: &World) -> Vec<TcpStream> {
    let clients: Vec<TcpStream> = REQUESTS
        .iter()
        .map(|request| {
            let mut client = world.connect();
            client.write_all(request.as_bytes()).unwrap();
            client
        })
        .collect();
    let mut sender = clients[2].try_clone().unwrap();
    thread::spawn(move || {
        while sender.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    // Until all buffers on the way are full.
    thread::sleep(Duration::from_secs(1));
    clients
}

#[track_caller]
fn three_end(ended: &Receiver<()>) {
    for number in 0..3 {
        let waited = ended.recv_timeout(WHILE);
        assert!(waited.is_ok(), "only {number} connections to the tool ended");
    }
}

/// What the router had sent before may be read; then it is over.
fn all_end(clients: Vec<TcpStream>) {
    for mut client in clients {
        let until = Instant::now() + WHILE;
        let mut buffer = vec![0; 1 << 20];
        while client.read(&mut buffer).is_ok_and(|read| read > 0) {
            assert!(Instant::now() < until, "a client's connection goes on");
        }
    }
}

#[test]
fn at_the_end_of_a_drain_they_are_cut_whether_they_read_or_not() {
    let mut world = World::with_patience(Patience { drain: Duration::from_secs(2), ..PATIENCE });
    let (old, ended) = endless();
    world.route(State::Serving, &[old]);
    let clients = stalled(&world);
    world.route(State::Stopped, &[]);
    let drained = world.drain(old, Duration::from_secs(1)).recv_timeout(WHILE).unwrap();
    assert_eq!(drained, Drained { open: 3, cut: 3 });
    three_end(&ended);
    // The router holds nothing for them any more, though none has read a byte.
    let until = Instant::now() + WHILE;
    while world.connections() > 0 {
        assert!(Instant::now() < until, "{} connections are held", world.connections());
        thread::sleep(Duration::from_millis(50));
    }
    all_end(clients);
    world.stop();
    let rows = world.rows();
    assert_eq!(rows.iter().filter(|row| row.ends_with(" cut")).count(), 2, "{rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("POST / 503 ")), "{rows:?}");
}

#[test]
fn a_router_that_leaves_or_ends_waits_for_them_so_long_and_no_longer() {
    let (leave, drain) = (Duration::from_secs(4), Duration::from_secs(2));
    let mut world = World::with_patience(Patience { drain, leave, ..PATIENCE });
    let (address, ended) = endless();
    world.route(State::Serving, &[address]);
    let leaving = stalled(&world);
    let began = Instant::now();
    let old = world.replace();
    world.runtime.block_on(old).unwrap();
    assert!(began.elapsed() >= leave && began.elapsed() < leave + WHILE);
    three_end(&ended);
    all_end(leaving);
    let ending = stalled(&world);
    let began = Instant::now();
    world.stop();
    assert!(began.elapsed() < drain + WHILE);
    three_end(&ended);
    all_end(ending);
}
