//! Requests at a steady rate beside a story, each checked to the last byte and none tried twice.
//!
//! The tool must be `e2e/apps/steady`. Half of the requests go over kept-alive connections, half over one of their own;
//! every tenth is a POST of 64 kB. Each has its own moment, kept to whatever became of the ones before it, and is timed
//! from that moment: a platform that stands still for a second is seen by all who came in that second.

mod connection;
mod report;

pub use report::{LoadReport, Loss};

use connection::Connection;
use sha2::{Digest, Sha256};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Threads of each of the two kinds.
const ASKERS: usize = 96;
/// Their stacks hold little.
const STACK_BYTES: usize = 256 * 1024;
/// Body of a POST.
const POST_BYTES: usize = 64_000;
/// One request in so many is a POST.
const POST_EVERY: u64 = 10;

/// Requests that go on until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    began: Instant,
    askers: Vec<thread::JoinHandle<()>>,
    asked: mpsc::Receiver<Asked>,
    counts: Arc<Counts>,
}

/// What is known while it goes on.
#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    lost: AtomicU64,
}

/// How one request ended.
pub(crate) struct Asked {
    pub(crate) kept_alive: bool,
    pub(crate) post: bool,
    /// From the moment it was due to its end.
    pub(crate) time: Duration,
    /// What the answer's first line was, when it was one to a GET.
    pub(crate) outcome: Result<Option<String>, (Loss, String)>,
    /// When it ended, since the beginning.
    pub(crate) at: Duration,
}

/// What all askers share.
struct Plan {
    port: u16,
    host: String,
    began: Instant,
    /// Between two requests of one kind.
    every: Duration,
    /// Next request of each kind: over kept-alive connections, over one of its own.
    next: [AtomicU64; 2],
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Load {
    /// So many requests may be waiting for an answer at once.
    pub const AT_ONCE: usize = 2 * ASKERS;

    /// Begins to ask `host` on this port of loopback.
    pub fn start(port: u16, host: &str, requests_per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let counts = Arc::new(Counts::default());
        let plan = Arc::new(Plan {
            port,
            host: host.to_owned(),
            began,
            every: Duration::from_secs(2) / requests_per_second.max(1),
            next: [AtomicU64::new(0), AtomicU64::new(0)],
            stop: Arc::clone(&stop),
            counts: Arc::clone(&counts),
        });
        let (sender, asked) = mpsc::channel();
        let askers = (0..Self::AT_ONCE)
            .map(|number| {
                let (plan, sender) = (Arc::clone(&plan), sender.clone());
                let asker = thread::Builder::new().name("load".to_owned()).stack_size(STACK_BYTES);
                asker
                    .spawn(move || plan.ask_on(number % 2 == 0, &sender))
                    .unwrap_or_else(|error| panic!("no thread for a request: {error}"))
            })
            .collect();
        Self { stop, began, askers, asked, counts }
    }

    /// How many requests have ended by now, one way or the other.
    pub fn asked(&self) -> u64 {
        self.counts.asked.load(Ordering::Relaxed)
    }

    /// How many of them were lost.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Lets the last requests end and says how all of them went.
    pub fn stop(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        let elapsed = self.began.elapsed();
        for asker in self.askers {
            asker.join().unwrap_or_else(|_| panic!("a thread of the load generator panicked"));
        }
        LoadReport::new(elapsed, self.asked.try_iter())
    }
}

impl Plan {
    /// Takes requests of one kind, one after the other.
    fn ask_on(&self, kept_alive: bool, asked: &mpsc::Sender<Asked>) {
        let mut connection = None;
        loop {
            let number = self.next[usize::from(!kept_alive)].fetch_add(1, Ordering::Relaxed);
            // The two kinds take turns.
            let offset = if kept_alive { Duration::ZERO } else { self.every / 2 };
            let due = self.began + self.every * u32::try_from(number).unwrap_or(u32::MAX) + offset;
            while !self.stop.load(Ordering::Relaxed) {
                let wait = due.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    break;
                }
                thread::sleep(wait.min(Duration::from_millis(100)));
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let post = number % POST_EVERY == POST_EVERY - 1;
            let outcome = self.ask(kept_alive, post, number, &mut connection);
            self.counts.asked.fetch_add(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
            let now = Instant::now();
            let ended =
                Asked { kept_alive, post, time: now - due, outcome, at: now.duration_since(self.began) };
            if asked.send(ended).is_err() {
                return;
            }
        }
    }

    /// One request, once.
    fn ask(
        &self,
        kept_alive: bool,
        post: bool,
        number: u64,
        kept: &mut Option<Connection>,
    ) -> Result<Option<String>, (Loss, String)> {
        // A connection that the other side has closed since is no broken promise; one that it cuts while we ask is.
        let usable = kept.take().filter(Connection::is_open);
        let mut connection = match usable {
            Some(connection) => connection,
            None => Connection::open(self.port)?,
        };
        let (path, body) = if post {
            ("/digest".to_owned(), body(number))
        } else {
            (format!("/?number={number}"), Vec::new())
        };
        let answer = connection.ask(&self.host, &path, kept_alive, post.then_some(&body[..]))?;
        let expected = if post {
            format!("{} {}\n", body.len(), hex::encode(Sha256::digest(&body)))
        } else {
            format!("\n{number}\n")
        };
        if !answer.body.ends_with(&expected) || (post && answer.body.len() != expected.len()) {
            let told: String = answer.body.chars().take(120).collect();
            return Err((Loss::WrongBody, format!("{path}: {told:?}")));
        }
        if kept_alive && !answer.closes {
            *kept = Some(connection);
        }
        Ok((!post).then(|| answer.body.lines().next().unwrap_or_default().to_owned()))
    }
}

/// Bytes that differ from one request to the next and do not repeat inside.
fn body(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(POST_BYTES);
    while bytes.len() < POST_BYTES {
        // xorshift64 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}
