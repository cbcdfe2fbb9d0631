//! The router with real sockets: clients, tools and serve. Requests and answers are written by hand, byte by byte, so
//! that no library tidies up what is to be seen.

mod blobs;
mod bodies;
mod drain;
mod life;
mod platform;
mod replace;
mod requests;
mod stalled;

use crate::{
    Backend, Config, Control, Route, State, Table,
    server::{Life, serve_while},
    upstream::Patience,
};
use model::{LogStream, Paths, ToolId};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

/// For whatever a loaded machine does slowly.
const WHILE: Duration = Duration::from_secs(30);
/// Longer than any story waits, so that none depends on how fast a machine is; who tests a limit sets a short one.
const PATIENCE: Patience = Patience {
    head: WHILE,
    connect: WHILE,
    tool_answer: WHILE,
    platform_answer: WHILE,
    platform_restart: WHILE,
    drain: WHILE,
    leave: WHILE,
};
/// Nobody listens on the lowest port of loopback.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A running router and what it needs.
struct World {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    paths: Paths,
    life: watch::Sender<Life>,
    /// Of routers that were replaced: their end comes with their sender's.
    left: Vec<watch::Sender<Life>>,
    router: Option<JoinHandle<()>>,
    patience: Patience,
    generation: u64,
    tool_id: ToolId,
    place: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    fn with_patience(patience: Patience) -> Self {
        let place = tempfile::tempdir().unwrap();
        let paths = Paths::new(place.path().join("data"), place.path().join("run"));
        let tool_id = ToolId::new();
        let files = [
            paths.route_table(),
            paths.router_sockets().join("socket"),
            paths.serve_socket(),
            paths.log(tool_id, &LogStream::Router),
        ];
        for file in files {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut world = Self {
            runtime,
            listener,
            address,
            paths,
            life: watch::Sender::new(Life::Serving),
            left: Vec::new(),
            router: None,
            patience,
            generation: 0,
            tool_id,
            place,
        };
        world.start();
        world
    }

    /// Starts a router on the listener, which the starter keeps.
    fn start(&mut self) {
        let listener = self.listener.try_clone().unwrap();
        let (life, lives) = watch::channel(Life::Serving);
        let config = Config { domain: "localhost".to_owned(), paths: self.paths.clone(), finish: WHILE };
        let (ready, is_ready) = channel();
        let ready = move || ready.send(()).unwrap();
        let patience = self.patience;
        let router = async move { serve_while(config, listener, patience, lives, ready).await.unwrap() };
        self.router = Some(self.runtime.spawn(router));
        self.life = life;
        is_ready.recv().unwrap();
    }

    /// Starts another router on the same listener, then lets the first one leave; its end may be waited for.
    fn replace(&mut self) -> JoinHandle<()> {
        let (life, old) = (self.life.clone(), self.router.take().unwrap());
        self.start();
        life.send_replace(Life::Leaving);
        self.left.push(life);
        old
    }

    /// Tells the router to end and waits until it has.
    fn stop(&mut self) {
        self.life.send_replace(Life::Ending);
        self.runtime.block_on(self.router.take().unwrap()).unwrap();
    }

    /// Says where `wordcount.localhost` leads.
    fn route(&mut self, state: State, addresses: &[SocketAddr]) {
        self.generation += 1;
        let backends = addresses.iter().map(|address| Backend { release: 12, address: *address }).collect();
        let route = Route {
            host: "wordcount.localhost".to_owned(),
            tool: "wordcount".to_owned(),
            tool_id: self.tool_id,
            state,
            backends,
        };
        let table = Table { generation: self.generation, platform_hosts: Vec::new(), routes: vec![route] };
        self.runtime.block_on(Control::new(&self.paths.router_sockets()).apply(&table)).unwrap();
    }

    /// A world whose tool answers every connection by `answer`.
    fn with_tool(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let mut world = Self::new();
        let address = tool(answer);
        world.route(State::Serving, &[address]);
        world
    }

    /// Clients' connections that the router holds, as the kernel counts them.
    fn connections(&self) -> usize {
        let port = format!("0100007F:{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        // Established, or closed by the client alone: those whose descriptor is open on this side.
        lines.filter(|words| words[1] == port && matches!(words[3], "01" | "08")).count()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(2 * WHILE)).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own and gives all that comes back.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A reset after the answer takes nothing from it.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    /// The rows of the tool's requests; the router has ended.
    fn rows(&self) -> Vec<String> {
        let mut reader = logs::Reader::open(&self.paths.log(self.tool_id, &LogStream::Router), 0).unwrap();
        let rows = std::iter::from_fn(|| reader.next_row().unwrap());
        rows.map(|entry| String::from_utf8(entry.row.bytes).unwrap()).collect()
    }

    /// A GET for a host, with more header lines.
    fn get(&self, host: &str, lines: &str) -> String {
        self.say(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n").as_bytes())
    }
}

/// A tool on a port of its own: each connection is answered on a thread of its own.
fn tool(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = std::sync::Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// A tool that says "hello" and passes on the heads that it hears.
fn listening_tool() -> (impl Fn(TcpStream) + Send + Sync, Receiver<String>) {
    let (sender, receiver): (Sender<String>, _) = channel();
    let answer = move |mut stream: TcpStream| {
        let head = read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let _ = sender.send(head);
    };
    (answer, receiver)
}

/// Reads up to and with the empty line.
fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// Opens a web socket and reads the head of the answer and the first word.
fn open_web_socket(world: &World) -> TcpStream {
    let mut stream = world.connect();
    let request = "GET /socket HTTP/1.1\r\nHost: wordcount.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101 "));
    let mut word = [0; 5];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"hello");
    stream
}

/// A tool that switches, says "hello", and repeats all it hears.
fn echo(mut stream: TcpStream) {
    read_head(&mut stream);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello";
    stream.write_all(switch.as_bytes()).unwrap();
    let mut heard = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut heard, &mut stream);
}
