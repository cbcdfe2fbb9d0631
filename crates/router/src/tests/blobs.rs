//! Blobs that serve names and the router sends: every byte, in order, also beside other answers and to the end.

use super::{World, read_head, status};
use model::{BlobPart, Digest};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    thread,
    time::Duration,
};

const BLOB_BYTES: usize = 9_000_001;

/// Bytes that differ from place to place, and from zeros.
fn content() -> Vec<u8> {
    (1..=251_u8).cycle().take(BLOB_BYTES).collect()
}

fn digest() -> Digest {
    Digest::from_bytes([0xab; 32])
}

/// Serve: names the part that stands in the path as `/FIRST/LENGTH`, and says `plain` to all else.
fn serve(world: &World) {
    let blob = world.paths.blob(&digest());
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(&blob, content()).unwrap();
    let listener = UnixListener::bind(world.paths.serve_socket()).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = read_head(&mut stream);
            assert_eq!(head.matches("x-windlass-accepts-blob: 1\r\n").count(), 1, "{head}");
            let path = head.split(' ').nth(1).unwrap();
            let mut numbers = path.split('/').filter_map(|word| word.parse().ok());
            let answer = match (numbers.next(), numbers.next()) {
                (Some(first), Some(length_bytes)) => {
                    let part = BlobPart { digest: digest(), first, length_bytes };
                    format!(
                        "HTTP/1.1 206 Partial Content\r\nX-Windlass-Blob: {part}\r\nContent-Length: 0\r\n\r\n"
                    )
                }
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

fn ask(stream: &mut TcpStream, path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Windlass-Accepts-Blob: no\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
}

/// The body of the next answer on this connection.
fn read_body(stream: &mut TcpStream) -> Vec<u8> {
    let head = read_head(stream);
    assert!(!head.contains("windlass-blob"), "{head}");
    let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
    assert_eq!(head.matches("content-length").count(), 1, "{head}");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    body
}

#[test]
fn answers_on_one_connection_are_those_that_were_asked_for_in_their_order() {
    let world = World::new();
    serve(&world);
    let whole = content();
    let mut stream = world.connect();
    let asked = [
        (0, BLOB_BYTES),
        (5, 3_000_000),
        (BLOB_BYTES - 1, 1),
        (7, 0),
        (1_048_575, 1_048_578),
        (0, BLOB_BYTES),
    ];
    // Of this one nothing is sent but the head.
    stream.write_all(b"HEAD /0/500 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(read_head(&mut stream).contains("content-length: 500\r\n"));
    // All of them at once, and a plain one after each: nothing of one may be sent for another.
    for (first, length) in asked {
        ask(&mut stream, &format!("/{first}/{length}"));
        ask(&mut stream, "/");
    }
    for (first, length) in asked {
        assert!(read_body(&mut stream) == whole[first..first + length], "{length} bytes from {first} on");
        assert_eq!(read_body(&mut stream), b"plain");
    }
}

#[test]
fn a_blob_that_is_gone_or_shorter_is_the_platforms_fault_and_not_half_an_answer() {
    let world = World::new();
    serve(&world);
    let get = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        world.say(head.as_bytes())
    };
    for path in [format!("/1/{BLOB_BYTES}"), format!("/{}/2", u64::MAX)] {
        assert_eq!(status(&get(&path)), "503", "{path}");
    }
    fs::remove_file(world.paths.blob(&digest())).unwrap();
    assert_eq!(status(&get(&format!("/0/{BLOB_BYTES}"))), "503");
    assert!(get("/").ends_with("plain"));
}

#[test]
fn a_file_that_is_cut_meanwhile_cuts_the_connection() {
    let world = World::new();
    serve(&world);
    // Far more than sockets hold.
    let path = world.paths.blob(&digest());
    fs::File::options().write(true).open(&path).unwrap().set_len(200_000_000).unwrap();
    let mut stream = world.connect();
    ask(&mut stream, "/0/200000000");
    read_head(&mut stream);
    fs::File::options().write(true).open(&path).unwrap().set_len(1_000).unwrap();
    let mut body = Vec::new();
    let ended = stream.read_to_end(&mut body);
    assert!(body.len() < 200_000_000, "{ended:?} after {} bytes", body.len());
}

#[test]
fn a_router_that_leaves_sends_a_blob_to_its_end_and_a_client_that_leaves_hurts_nobody() {
    let mut world = World::new();
    serve(&world);
    let path = world.paths.blob(&digest());
    fs::File::options().write(true).open(&path).unwrap().set_len(60_000_000).unwrap();
    let mut gone = world.connect();
    ask(&mut gone, "/0/60000000");
    read_head(&mut gone);
    drop(gone);
    let mut stream = world.connect();
    ask(&mut stream, "/0/60000000");
    let mut first = vec![0; 1_000];
    stream.read_exact(&mut first).unwrap();
    let old = world.replace();
    thread::sleep(Duration::from_millis(300));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    first.extend(rest);
    let begin = first.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(first.len() - begin, 60_000_000);
    assert!(first[begin..begin + BLOB_BYTES] == content());
    world.runtime.block_on(old).unwrap();
}
