//! The platform's own host: serve behind its Unix socket, also while it is restarted.

use super::{PATIENCE, WHILE, World, read_head, status};
use crate::upstream::Patience;
use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// Serve: answers with its name, and drops the first `lost` connections after it has heard them.
fn serve(world: &World, name: &'static str, lost: usize) -> Receiver<String> {
    let path = world.paths.serve_socket();
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    let (sender, heard) = channel();
    thread::spawn(move || {
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            let question = read_head(&mut stream);
            if number >= lost {
                let length = name.len();
                let _ = stream.write_all(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}").as_bytes(),
                );
            }
            let _ = sender.send(question);
        }
    });
    heard
}

#[test]
fn the_domain_leads_to_serve_before_any_table_is_known() {
    let world = World::new();
    let heard = serve(&world, "first", 0);
    let answer = world.get("localhost:8080", "");
    assert!(answer.ends_with("first"), "{answer}");
    assert!(heard.recv().unwrap().contains("host: localhost:8080\r\n"));
}

#[test]
fn a_request_waits_for_a_serve_that_is_restarted() {
    let world = World::new();
    let path = world.paths.serve_socket();
    drop(UnixListener::bind(&path).unwrap());
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| world.get("localhost", ""));
        thread::sleep(Duration::from_millis(500));
        serve(&world, "second", 0);
        asking.join().unwrap()
    });
    assert!(answer.ends_with("second"), "{answer}");
}

#[test]
fn a_question_whose_answer_was_lost_is_asked_again_and_a_command_is_not() {
    let world = World::new();
    let heard = serve(&world, "again", 1);
    assert!(world.get("localhost", "X-Forwarded-For: 10.0.0.1\r\n").ends_with("again"));
    for _ in 0..2 {
        assert!(heard.recv().unwrap().contains("x-forwarded-for: 127.0.0.1\r\n"));
    }

    let world = World::new();
    let heard = serve(&world, "once", 1);
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&world.say(request.as_bytes())), "503");
    assert!(heard.recv().is_ok());
    assert!(heard.try_recv().is_err(), "a command is sent once");
}

#[test]
fn a_refusal_that_comes_before_the_question_has_ended_is_heard() {
    let world = World::new();
    let listener = UnixListener::bind(world.paths.serve_socket()).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            read_head(&mut stream);
            let _ = stream
                .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        }
    });
    // More than fits between the two: the router is still sending when nobody hears it any more.
    let length = 8 << 20;
    let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    let question = &[head.as_bytes(), &vec![b'x'; length]].concat();
    // Which of the two comes first differs.
    for _ in 0..8 {
        let mut stream = world.connect();
        thread::scope(|scope| {
            let mut sending = stream.try_clone().unwrap();
            // Ends early when the router has heard the answer and closes.
            scope.spawn(move || sending.write_all(question).map_err(drop));
            let answer = read_head(&mut stream);
            assert_eq!(status(&answer), "401", "{answer}");
            drop(stream);
        });
    }
}

#[test]
fn a_platform_that_stays_away_is_told_as_such() {
    let restart = Duration::from_secs(2);
    let world = World::with_patience(Patience { platform_restart: restart, ..PATIENCE });
    let started = Instant::now();
    let answer = world.get("localhost", "");
    assert_eq!(status(&answer), "503");
    assert!(answer.contains("the platform's fault, not yours; the operator finds it in the log as "));
    assert!(answer.contains("The platform does not answer") && answer.contains("retry-after: 5"));
    assert!((restart.mul_f64(0.9)..WHILE).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[test]
fn a_stream_of_events_flows_while_serve_is_still_writing() {
    let world = World::new();
    let listener = UnixListener::bind(world.paths.serve_socket()).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let mut stream = world.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    read_head(&mut stream);
    let mut event = [0; 8];
    stream.read_exact(&mut event).unwrap();
    assert_eq!(&event, b"3\r\none\r\n");
}
