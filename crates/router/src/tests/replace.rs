//! A router is replaced by another on the same listener: nothing that was begun is lost, nothing that comes is refused.

use super::{PATIENCE, WHILE, World, echo, listening_tool, open_web_socket, read_head, status, tool};
use crate::{State, upstream::Patience};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc::channel,
    time::Duration,
};

fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n").unwrap();
    let head = read_head(stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stream.read_exact(&mut [0; 5]).unwrap();
    head.to_ascii_lowercase()
}

#[test]
fn a_download_and_a_web_socket_go_on_in_the_old_router_while_the_new_one_answers() {
    let (go, gone) = channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let mut world = World::with_tool(move |mut stream| {
        let mut begin = [0; 9];
        stream.peek(&mut begin).unwrap();
        if begin.starts_with(b"GET /long") {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
            gone.lock().unwrap().recv().unwrap();
            stream.write_all(b" last").unwrap();
        } else if begin.starts_with(b"GET /sock") {
            echo(stream);
        } else {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        }
    });
    let mut long = world.connect();
    long.write_all(b"GET /long HTTP/1.1\r\nHost: wordcount.localhost\r\n\r\n").unwrap();
    read_head(&mut long);
    let mut socket = open_web_socket(&world);
    let old = world.replace();
    for _ in 0..20 {
        assert!(world.get("wordcount.localhost", "").ends_with("hello"));
    }
    // A copy is drained only when the old router has let go of it, too.
    let address = world.backends()[0];
    world.route(State::Stopped, &[]);
    let drained = world.drain(address, WHILE);
    assert!(drained.recv_timeout(Duration::from_millis(300)).is_err());
    go.send(()).unwrap();
    let mut body = [0; 10];
    long.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"first last");
    drop(long);
    socket.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
    socket.shutdown(Shutdown::Both).unwrap();
    let drained = drained.recv_timeout(WHILE).unwrap();
    assert_eq!((drained.open, drained.cut), (2, 0));
    world.runtime.block_on(old).unwrap();
}

#[test]
fn a_kept_connection_gets_one_more_answer_that_says_so_by_the_newest_table() {
    let (answer, _heard) = listening_tool();
    let mut world = World::with_tool(answer);
    let mut kept = world.connect();
    assert!(!ask(&mut kept).contains("connection: close"));
    let old = world.replace();
    let (answer, heard) = listening_tool();
    let newer = tool(answer);
    world.route(State::Serving, &[newer]);
    assert!(ask(&mut kept).contains("connection: close"));
    assert!(heard.recv_timeout(WHILE).is_ok(), "the old router has the new table, too");
    assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    world.runtime.block_on(old).unwrap();
    assert_eq!(status(&world.get("wordcount.localhost", "")), "200");
}

#[test]
fn what_outlives_the_old_routers_time_is_cut_and_written_down() {
    let mut world = World::with_patience(Patience { leave: Duration::from_secs(1), ..PATIENCE });
    world.route(State::Serving, &[tool(echo)]);
    let mut open = open_web_socket(&world);
    let old = world.replace();
    world.runtime.block_on(old).unwrap();
    assert_eq!(open.read(&mut [0]).unwrap_or(0), 0);
    let rows = world.rows();
    assert!(rows.len() == 1 && rows[0].ends_with(" cut"), "{rows:?}");
}
