//! Bodies stream in both directions, and lengths stay true.

use super::{PATIENCE, World, read_head, status, tool};
use crate::{State, upstream::Patience};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    sync::mpsc::channel,
    thread,
    time::Duration,
};

const MANY_BYTES: usize = 50 * 1024 * 1024;

/// Reads a body of chunks and gives its length.
fn read_chunks(stream: &mut impl Read) -> usize {
    let mut total = 0;
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        stream.read_exact(&mut vec![0; size + 2]).unwrap();
        if size == 0 {
            return total;
        }
        total += size;
    }
}

#[test]
fn fifty_megabytes_stream_up_in_chunks_and_down_with_their_length() {
    let (sender, received) = channel();
    let world = World::with_tool(move |stream| {
        let mut stream = std::io::BufReader::new(stream);
        let head = read_head(&mut stream);
        assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
        sender.send(read_chunks(&mut stream)).unwrap();
        let stream = stream.get_mut();
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {MANY_BYTES}\r\n\r\n").as_bytes())
            .unwrap();
        stream.write_all(&vec![b'x'; MANY_BYTES]).unwrap();
    });
    let mut stream = world.connect();
    let head = "POST / HTTP/1.1\r\nHost: wordcount.localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b'y'; MANY_BYTES / 50];
    for _ in 0..50 {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
        stream.write_all(&piece).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(received.recv().unwrap(), MANY_BYTES);
    let head = read_head(&mut stream);
    assert!(head.contains(&format!("content-length: {MANY_BYTES}\r\n")), "{head}");
    let mut body = Vec::new();
    stream.read_to_end(&mut body).unwrap();
    assert_eq!(body.len(), MANY_BYTES);
}

#[test]
fn what_a_tool_sends_arrives_before_it_has_ended() {
    let (go_on, wait) = channel();
    let wait = std::sync::Mutex::new(wait);
    let world = World::with_tool(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
        wait.lock().unwrap().recv().unwrap();
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
    });
    let mut stream = world.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert!(read_head(&mut stream).contains("transfer-encoding: chunked"));
    let mut first = [0; 10];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"5\r\nfirst\r\n");
    go_on.send(()).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "6\r\nsecond\r\n0\r\n\r\n");
}

#[test]
fn an_upload_that_moves_is_not_too_slow_however_long_it_takes() {
    let mut world = World::with_patience(Patience { tool_answer: Duration::from_secs(3), ..PATIENCE });
    let reads_all = tool(|mut stream| {
        read_head(&mut stream);
        stream.read_exact(&mut [0; 9]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    world.route(State::Serving, &[reads_all]);
    let mut stream = world.connect();
    stream
        .write_all(
            b"PUT / HTTP/1.1\r\nHost: wordcount.localhost\r\nContent-Length: 9\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    // In all longer than a tool may be silent; each pause is far shorter.
    for byte in b"good day\n" {
        std::thread::sleep(Duration::from_millis(400));
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_answer_to_head_keeps_its_length_and_has_no_body() {
    let world = World::with_tool(|mut stream| {
        assert!(read_head(&mut stream).starts_with("HEAD / "));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").unwrap();
    });
    let request = b"HEAD / HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: close\r\n\r\n";
    let answer = world.say(request);
    assert!(answer.contains("content-length: 1234\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_client_that_expects_100_continue_gets_it_and_the_tool_hears_nothing_of_it() {
    let (sender, heard) = channel();
    let world = World::with_tool(move |mut stream: TcpStream| {
        sender.send(read_head(&mut stream)).unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let mut stream = world.connect();
    stream
        .write_all(
            b"PUT / HTTP/1.1\r\nHost: wordcount.localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\
              Connection: close\r\n\r\n",
        )
        .unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 100 Continue\r\n"));
    stream.write_all(b"hello").unwrap();
    let answer = read_head(&mut stream);
    assert_eq!(status(&answer), "204");
    assert!(!answer.contains("content-length"), "{answer}");
    assert!(!heard.recv().unwrap().contains("expect"));
}

#[test]
fn an_answer_that_breaks_off_is_not_made_to_look_whole() {
    let world = World::with_tool(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
    });
    let answer = world.get("wordcount.localhost", "");
    assert!(answer.contains("first") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[test]
fn a_body_that_its_client_broke_is_the_clients_fault_and_not_the_tools() {
    let read_all = |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let mut world = World::with_tool(read_all);
    let request = |host: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno length\r\n"
        )
    };
    let answer = world.say(request("wordcount.localhost").as_bytes());
    assert_eq!(status(&answer), "400", "{answer}");
    assert!(answer.contains("Its body is broken or was not sent to its end"), "{answer}");
    let listener = UnixListener::bind(world.paths.serve_socket()).unwrap();
    thread::spawn(move || listener.accept().unwrap().0.read_to_end(&mut Vec::new()));
    assert_eq!(status(&world.say(request("localhost").as_bytes())), "400");
    world.stop();
    let rows = world.rows();
    assert!(rows.len() == 1 && rows[0].starts_with("POST / 400 "), "{rows:?}");
}
