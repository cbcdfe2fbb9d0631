//! What a build reaches and what it does not: the real worker process under its own id, serving listeners in the
//! namespace of a "build", with a "host" whose loopback holds the resolver and the servers of the internet.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

#[path = "support/namespaces.rs"]
mod namespaces;

use egress::{HostRule, Policy};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};
use model::Instance;
use namespaces::Namespace;
use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_gid, set_thread_uid},
};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};
use windlass_sandbox::network::egress::{listen, start_worker};

const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// For whatever a loaded machine does slowly. A client that is left without an answer waits for minutes.
const PATIENCE: Duration = Duration::from_secs(60);
const INDEX: &str = "index.example";
/// The names that the resolver of this internet knows.
const NAMES: &[(&str, &str)] = &[
    (INDEX, "192.0.2.10"),
    ("files.example", "192.0.2.11"),
    ("private.example", "10.0.0.5"),
    ("mixed.example", "127.0.0.1"),
    ("nat64.example", "64:ff9b::a00:1"),
    ("mapped.example", "::ffff:10.0.0.1"),
    ("odd.example", "192.0.2.12"),
    ("silent.example", "192.0.2.13"),
    ("evil.example", "192.0.2.66"),
];

struct Internet {
    host: Namespace,
    build: Namespace,
    worker: Child,
    log: PathBuf,
    _place: tempfile::TempDir,
}

fn policy() -> Policy {
    let hosts = ["files.example", "private.example", "mixed.example", "nat64.example", "mapped.example"];
    let mut rules: Vec<HostRule> =
        [INDEX, "gone.example", "silent.example"].into_iter().chain(hosts).map(HostRule::host).collect();
    rules.push(HostRule { host: "odd.example".to_owned(), ports: vec![8443] });
    Policy { hosts: rules, allow_networks: vec!["192.0.2.0/24".to_owned()], resolver: Some(RESOLVER.into()) }
}

/// The worker where another user may start it: a checkout may be readable by root only. Copied by a child, since a
/// program that this process had just written could not be started while another test's child holds it open.
fn readable_by_all(place: &tempfile::TempDir) -> PathBuf {
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("worker");
    let built = env!("CARGO_BIN_EXE_egress-worker");
    assert!(std::process::Command::new("cp").arg(built).arg(&program).status().unwrap().success());
    program
}

impl Internet {
    fn new() -> Self {
        Self::with(&policy())
    }

    fn with(policy: &Policy) -> Self {
        let host = Namespace::new();
        host.ip("link set lo up");
        for address in ["192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32", "192.0.2.66/32", "10.0.0.5/32"] {
            host.ip(&format!("addr add {address} dev lo"));
        }
        serve_names(&host);
        for port in [80, 443, 8443] {
            serve_pages(&host, port);
        }
        let build = Namespace::in_user_namespace();
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("log");
        let file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let program = readable_by_all(&place);
        let worker = host.run(|| {
            let listeners = listen(build.process.as_fd(), policy).unwrap();
            start_worker(&program, Instance(0), listeners, policy, build.process.as_fd(), file.as_fd())
                .unwrap()
        });
        Self { host, build, worker, log, _place: place }
    }

    fn rows(&self) -> Vec<String> {
        let mut reader = logs::Reader::open(&self.log, 0).unwrap();
        let rows = std::iter::from_fn(|| reader.next_row().unwrap());
        rows.map(|entry| String::from_utf8(entry.row.bytes).unwrap()).collect()
    }

    fn wait_for_row(&self, part: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.rows().iter().any(|row| row.contains(part)) {
            assert!(Instant::now() < until, "no row with {part:?} in {:#?}", self.rows());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The rows once the build has ended and the worker after it.
    fn end(mut self) -> Vec<String> {
        self.build.end();
        assert!(self.worker.wait().unwrap().success());
        self.rows()
    }

    /// Asks the build's resolver for an IPv4 address.
    fn resolve(&self, name: &str) -> Result<Ipv4Addr, ResponseCode> {
        self.build.run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.send_to(&question(name), "127.0.0.1:53").unwrap();
            let mut answer = [0; 600];
            let length = socket.recv(&mut answer).unwrap();
            read_answer(&answer[..length])
        })
    }

    /// Connects to an address of the build's own internet, says something and gives the whole answer.
    fn say(&self, to: (&str, u16), words: &[u8]) -> std::io::Result<Vec<u8>> {
        let address = SocketAddr::new(to.0.parse::<IpAddr>().unwrap(), to.1);
        self.build.run(|| {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(words)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        })
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::query();
    let name = hickory_proto::rr::Name::from_ascii(format!("{name}.")).unwrap();
    message.add_query(hickory_proto::op::Query::query(name, RecordType::A));
    message.to_vec().unwrap()
}

fn read_answer(bytes: &[u8]) -> Result<Ipv4Addr, ResponseCode> {
    let message = Message::from_vec(bytes).unwrap();
    match message.answers.first().map(|record| &record.data) {
        Some(RData::A(address)) => Ok(address.0),
        _ => Err(message.metadata.response_code),
    }
}

/// The resolver of the outside: knows [`NAMES`] and nothing else.
fn serve_names(host: &Namespace) {
    let socket = host.run(|| UdpSocket::bind((RESOLVER, 53)).unwrap());
    host.serve(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let query = asked.queries[0].clone();
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            answer.metadata.recursion_available = true;
            answer.add_query(query.clone());
            let name = query.name().to_ascii().to_lowercase();
            let known = NAMES.iter().find(|(known, _)| format!("{known}.") == name);
            let data = known.map(|(_, address)| RData::from(address.parse::<IpAddr>().unwrap()));
            match data {
                None => answer.metadata.response_code = ResponseCode::NXDomain,
                Some(data) if data.record_type() == query.query_type() => {
                    answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                }
                Some(_) => {}
            }
            socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
        }
    });
}

/// A server that tells its own address and the first bytes it heard, and ends.
fn serve_pages(host: &Namespace, port: u16) {
    let listener = host.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    host.serve(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_page(stream));
        }
    });
}

fn answer_page(mut stream: TcpStream) {
    let at = stream.local_addr().unwrap();
    let mut heard = [0; 4096];
    let length = stream.read(&mut heard).unwrap_or(0);
    let _ = stream.write_all(format!("{at} heard {}", String::from_utf8_lossy(&heard[..length])).as_bytes());
}

/// A TLS 1.2 client hello that names a host, or none.
fn hello(host: Option<&str>) -> Vec<u8> {
    let sized = |bytes: usize, body: &[u8]| [&(body.len() as u64).to_be_bytes()[8 - bytes..], body].concat();
    let names = host.map_or_else(Vec::new, |host| {
        let entry = [&[0][..], &sized(2, host.as_bytes())].concat();
        [&[0, 0][..], &sized(2, &sized(2, &entry))].concat()
    });
    let body = [&[3, 3][..], &[7; 32], &[0], &sized(2, &[0x13, 1]), &[1, 0], &sized(2, &names)].concat();
    let message = [&[1][..], &sized(3, &body)].concat();
    [&[22, 3, 1][..], &sized(2, &message)].concat()
}

const ACCESS_DENIED: &[u8] = &[21, 3, 3, 0, 2, 2, 49];

#[test]
fn an_allowed_host_answers_whatever_address_the_build_believes_it_has() {
    let internet = Internet::new();
    let believed = internet.resolve(INDEX).unwrap();
    assert!(believed.octets().starts_with(&[198, 18]));
    let hello = hello(Some(INDEX));
    for address in [&believed.to_string(), "8.8.8.8", "127.0.0.1"] {
        let answer = internet.say((address, 443), &hello).unwrap();
        assert!(answer.starts_with(b"192.0.2.10:443 heard"), "{}", String::from_utf8_lossy(&answer));
    }
    let request = format!("GET /simple/ HTTP/1.1\r\nHost: {INDEX}\r\n\r\n");
    let answer = internet.say(("198.18.0.1", 80), request.as_bytes()).unwrap();
    let heard =
        format!("192.0.2.10:80 heard GET /simple/ HTTP/1.1\r\nHost: {INDEX}\r\nConnection: close\r\n\r\n");
    assert_eq!(String::from_utf8(answer).unwrap(), heard);
    let rows = internet.end();
    assert!(
        rows[0].starts_with("downloaded ") && rows[0].contains("from index.example (4 connections"),
        "{rows:?}"
    );
}

#[test]
fn a_refused_name_does_not_exist_at_once_and_the_log_says_what_to_do() {
    let internet = Internet::new();
    let started = Instant::now();
    assert_eq!(internet.resolve("evil.example"), Err(ResponseCode::NXDomain));
    assert_eq!(internet.resolve("evil.example"), Err(ResponseCode::NXDomain));
    assert!(started.elapsed() < PATIENCE);
    internet.wait_for_row("egress refused: evil.example is not on the list of hosts");
    let rows = internet.end();
    assert_eq!(rows.iter().filter(|row| row.contains("evil.example")).count(), 2, "{rows:#?}");
    assert!(rows[1].ends_with("2 times"));
}

#[test]
fn the_resolver_answers_over_tcp_too() {
    let internet = Internet::new();
    let question = question(INDEX);
    let framed = [&u16::try_from(question.len()).unwrap().to_be_bytes()[..], &question].concat();
    let answer = internet.build.run(|| {
        let mut stream = TcpStream::connect("127.0.0.1:53").unwrap();
        stream.write_all(&framed).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        answer
    });
    assert!(read_answer(&answer).is_ok());
}

#[test]
fn a_host_that_is_not_allowed_is_refused_by_its_name_in_the_connection() {
    let internet = Internet::new();
    assert_eq!(internet.say(("192.0.2.66", 443), &hello(Some("evil.example"))).unwrap(), ACCESS_DENIED);
    let answer = internet.say(("192.0.2.66", 80), b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 403 "));
    let rows = internet.end();
    assert!(rows[0].contains("evil.example is not on the list"), "{rows:?}");

    // The twin: the same connection with the host on the list.
    let mut policy = policy();
    policy.hosts.push(HostRule::host("evil.example"));
    let internet = Internet::with(&policy);
    let answer = internet.say(("192.0.2.66", 443), &hello(Some("evil.example"))).unwrap();
    assert!(answer.starts_with(b"192.0.2.66:443 heard"));
}

#[test]
fn a_connection_that_names_no_host_goes_nowhere() {
    let internet = Internet::new();
    assert_eq!(internet.say(("192.0.2.10", 443), &hello(None)).unwrap(), ACCESS_DENIED);
    assert_eq!(internet.say(("192.0.2.10", 443), &hello(Some("192.0.2.10"))).unwrap(), ACCESS_DENIED);
    let answer = internet.say(("192.0.2.10", 443), b"SSH-2.0-client\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
    let answer = internet.say(("192.0.2.10", 80), b"GET / HTTP/1.1\r\nHost: 192.0.2.10\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
    internet.wait_for_row("a connection to 192.0.2.10:443 that names no host");
}

#[test]
fn an_allowed_name_that_leads_to_a_private_address_is_refused_with_that_address() {
    let internet = Internet::new();
    for (host, address) in [
        ("private.example", "10.0.0.5"),
        ("mixed.example", "127.0.0.1"),
        ("nat64.example", "64:ff9b::a00:1"),
        ("mapped.example", "::ffff:10.0.0.1"),
    ] {
        assert_eq!(internet.say(("198.18.0.1", 443), &hello(Some(host))).unwrap(), ACCESS_DENIED, "{host}");
        internet.wait_for_row(&format!("{host} resolves to {address}, which is not a public address"));
    }

    // The twin: the operator allows that very network.
    let mut policy = policy();
    policy.allow_networks.push("10.0.0.0/8".to_owned());
    let internet = Internet::with(&policy);
    let answer = internet.say(("198.18.0.1", 443), &hello(Some("private.example"))).unwrap();
    assert!(answer.starts_with(b"10.0.0.5:443 heard"));
}

#[test]
fn a_port_is_open_only_for_the_host_whose_rule_names_it() {
    let internet = Internet::new();
    let answer = internet.say(("198.18.0.9", 8443), &hello(Some("odd.example"))).unwrap();
    assert!(answer.starts_with(b"192.0.2.12:8443 heard"));
    assert_eq!(internet.say(("198.18.0.1", 8443), &hello(Some(INDEX))).unwrap(), ACCESS_DENIED);
    internet.wait_for_row("index.example may be reached, but not on port 8443");
    let started = Instant::now();
    for port in [22, 25, 8080] {
        assert!(internet.say(("198.18.0.1", port), b"").is_err(), "{port}");
    }
    assert!(started.elapsed() < PATIENCE, "closed ports answer at once");
}

#[test]
fn addresses_that_the_namespace_makes_local_never_leave_it() {
    let internet = Internet::new();
    // The host's own service on the same address and port as one inside answers only on the host.
    let listener = internet.host.run(|| TcpListener::bind("127.0.0.1:7000").unwrap());
    internet.host.serve(move || {
        for stream in listener.incoming().flatten() {
            answer_page(stream);
        }
    });
    for address in
        ["127.0.0.1", "192.0.2.10", "169.254.169.254", "10.0.0.5", "::1", "fe80::1", "2606:4700::1"]
    {
        assert!(internet.say((address, 7000), b"hello").is_err(), "{address}");
    }
    let sent = internet.build.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("8.8.8.8:53").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket.send(&question(INDEX)).and_then(|_| socket.recv(&mut [0; 600]))
    });
    assert!(sent.is_err(), "a resolver of the build's own choice is not ours");
}

#[test]
fn a_process_of_the_build_cannot_take_the_place_of_our_listeners() {
    let internet = Internet::new();
    let kind_as = |user: u32, address: &str| {
        internet.build.run(|| {
            if user != 0 {
                set_thread_gid(Gid::from_raw(user)).unwrap();
                set_thread_uid(Uid::from_raw(user)).unwrap();
            }
            TcpListener::bind(address).map(drop).map_err(|error| error.kind())
        })
    };
    for address in ["127.0.0.1:53", "198.18.0.1:443", "127.0.0.1:80", "[::1]:443"] {
        assert_eq!(kind_as(1000, address), Err(ErrorKind::PermissionDenied), "{address}");
    }
    assert_eq!(kind_as(1000, "127.0.0.1:8000"), Ok(()), "its own loopback stays its own");
    assert_eq!(kind_as(0, "[::1]:443"), Ok(()), "the twin: root of the namespace could");
}

#[test]
fn a_host_that_is_gone_is_told_from_one_that_is_refused() {
    let internet = Internet::new();
    let started = Instant::now();
    assert_ne!(internet.say(("198.18.0.2", 443), &hello(Some("gone.example"))).unwrap(), ACCESS_DENIED);
    internet.wait_for_row("gone.example may be reached, but its name does not exist");
    let answer = internet.say(("198.18.0.3", 80), b"GET / HTTP/1.1\r\nHost: silent.example\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 502 "));
    assert!(started.elapsed() < PATIENCE, "clients wait for minutes on a silent proxy");
    internet.wait_for_row("(egress-failed)");
}

#[test]
fn a_slow_hello_is_cut_after_ten_seconds() {
    let internet = Internet::new();
    let hello = hello(Some(INDEX));
    let lasted = internet.build.run(|| {
        let mut stream = TcpStream::connect("198.18.0.1:443").unwrap();
        let started = Instant::now();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        for byte in hello {
            if stream.write_all(&[byte]).is_err() || stream.read(&mut [0]).is_ok_and(|read| read == 0) {
                break;
            }
        }
        started.elapsed()
    });
    assert!((9..60).contains(&lasted.as_secs()), "{lasted:?}");
}

#[test]
fn a_flood_of_connections_is_bounded_and_the_build_recovers_at_once() {
    let internet = Internet::new();
    internet.build.run(|| {
        let held: Vec<TcpStream> =
            (0..400).filter_map(|_| TcpStream::connect("198.18.0.1:443").ok()).collect();
        assert!(held.len() > 300);
        internet.wait_for_row("more than 128 connections at once");
        let open = std::fs::read_dir(format!("/proc/{}/fd", internet.worker.id())).unwrap().count();
        assert!(open < 160, "{open} descriptors");
    });
    let until = Instant::now() + PATIENCE;
    let again =
        || internet.say(("198.18.0.1", 443), &hello(Some(INDEX))).is_ok_and(|answer| !answer.is_empty());
    while !again() {
        assert!(Instant::now() < until, "the build did not recover");
    }
}

#[test]
fn the_worker_has_no_rights_and_ends_with_the_build() {
    let internet = Internet::new();
    let answer = internet.say(("198.18.0.1", 443), &hello(Some(INDEX))).unwrap();
    assert!(!answer.is_empty());
    let mut status = String::new();
    File::open(format!("/proc/{}/status", internet.worker.id()))
        .unwrap()
        .read_to_string(&mut status)
        .unwrap();
    let id = Instance(0).egress_id();
    assert!(status.contains(&format!("Uid:\t{id}\t{id}\t{id}\t{id}")), "{status}");
    assert!(status.contains("CapEff:\t0000000000000000") && status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.lines().any(|line| line.trim_end() == "Groups:"), "{status}");
    let started = Instant::now();
    internet.end();
    assert!(started.elapsed() < PATIENCE);
}
