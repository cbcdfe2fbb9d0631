//! The limits of one build's relay, on loopback: the relay listens on 127.0.0.1, the host is 127.0.0.2 on the same port.

use super::*;
use crate::HostRule;
use hickory_proto::{
    op::Message,
    rr::{RData, Record, RecordType},
};
use std::{
    io::{Read, Write},
    net::Ipv4Addr,
    sync::Mutex,
    thread,
};

struct World {
    _runtime: tokio::runtime::Runtime,
    rows: Arc<Mutex<Vec<String>>>,
    port: u16,
    report: Arc<Report>,
}

/// A resolver at an address of this test's own: every name is 127.0.0.2.
fn resolver() -> Ipv4Addr {
    let process = std::process::id().to_be_bytes();
    let free = (1..255).find_map(|last| {
        let address = Ipv4Addr::new(127, 100 + (process[2] & 0x7f), process[3], last);
        std::net::UdpSocket::bind((address, 53)).ok().map(|socket| (address, socket))
    });
    let (address, socket) = free.unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            answer.add_query(asked.queries[0].clone());
            if asked.queries[0].query_type() == RecordType::A {
                let data = RData::A(Ipv4Addr::new(127, 0, 0, 2).into());
                answer.add_answer(Record::from_rdata(asked.queries[0].name().clone(), 60, data));
            }
            let _ = socket.send_to(&answer.to_vec().unwrap(), from);
        }
    });
    address
}

impl World {
    /// A relay with these limits before a host that treats every connection by `host`.
    fn new(limits: RelayLimits, host: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> Self {
        let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = ours.local_addr().unwrap().port();
        let theirs = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
        let host = Arc::new(host);
        thread::spawn(move || {
            for stream in theirs.incoming().flatten() {
                let host = Arc::clone(&host);
                thread::spawn(move || host(stream));
            }
        });
        let policy = Policy {
            hosts: vec![HostRule { host: "files.example".to_owned(), ports: vec![port] }],
            allow_networks: vec!["127.0.0.0/8".to_owned()],
            resolver: Some(resolver().into()),
        };
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&rows);
        let report = Arc::new(Report::new(Box::new(move |row| sink.lock().unwrap().push(row.to_owned()))));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let lookup = {
            let _inside = runtime.enter();
            Lookup::new(&policy, policy.networks().unwrap()).unwrap()
        };
        let relay = Arc::new(Relay::new(Arc::new(policy), lookup, Arc::clone(&report), limits));
        runtime.spawn(async move {
            ours.set_nonblocking(true).unwrap();
            relay.serve(TcpListener::from_std(ours).unwrap()).await;
        });
        Self { _runtime: runtime, rows, port, report }
    }

    fn connect(&self) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let names = crate::hello::tests::server_names(&["files.example"]);
        stream.write_all(&crate::hello::tests::hello(&names, 16_000)).unwrap();
        stream
    }

    fn has_row(&self, part: &str) -> bool {
        self.rows.lock().unwrap().iter().any(|row| row.contains(part))
    }
}

/// Sends without end.
fn flood(mut stream: std::net::TcpStream) {
    while stream.write_all(&[b'x'; 4096]).is_ok() {}
}

#[test]
fn a_build_that_has_moved_its_bytes_is_cut_off_and_told_so() {
    let limits = RelayLimits { down_bytes: 1 << 20, ..RelayLimits::BUILD };
    let world = World::new(limits, flood);
    let mut received = Vec::new();
    let _ = world.connect().read_to_end(&mut received);
    assert!(received.len() <= 1 << 20, "{}", received.len());
    assert!(world.has_row("moved more bytes than a build may"));

    let limits = RelayLimits { up_bytes: 1 << 20, ..RelayLimits::BUILD };
    let world = World::new(limits, |mut stream| drop(stream.read_to_end(&mut Vec::new())));
    flood(world.connect());
    assert!(world.has_row("moved more bytes than a build may"));
}

#[test]
fn a_connection_without_a_byte_ends_and_one_that_moves_in_one_direction_does_not() {
    let limits = RelayLimits { idle: Duration::from_millis(300), ..RelayLimits::BUILD };
    let silent = World::new(limits, |mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let started = std::time::Instant::now();
    assert_eq!(silent.connect().read(&mut [0]).unwrap_or(0), 0);
    assert!((250..3000).contains(&started.elapsed().as_millis()));

    let dripping = World::new(limits, |mut stream| {
        for _ in 0..8 {
            thread::sleep(Duration::from_millis(150));
            stream.write_all(b"x").unwrap();
        }
    });
    let mut received = Vec::new();
    dripping.connect().read_to_end(&mut received).unwrap();
    assert_eq!(received, b"xxxxxxxx");
    dripping.report.finish();
    assert!(dripping.has_row("downloaded 8 B from files.example (1 connection"));
}
