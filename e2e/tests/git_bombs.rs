//! Pushes that are small on the wire and huge once they are unfolded: refused or kept as small as they came, within the
//! limits of git's process, while neighbours push on.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant, SystemTime},
};
use testkit::{
    Tool, World,
    pack::{self, Blob, Pack},
    size_bytes,
};

/// A git process may write files of 2 × (16 + 4) MiB.
const LIMITS: &str = "
[git]
max_pack_mebibytes = 4
max_repository_mebibytes = 16
maintenance_seconds = 1
max_stalled_seconds = 5
";
const LARGEST_FILE_BYTES: u64 = 40 << 20;

#[test]
fn what_unfolds_to_far_more_than_it_is_harms_nobody() {
    let world = World::with_settings(LIMITS);
    let tool = world.tool("bombs", "stdlib-http");
    let neighbour = world.tool("neighbour", "stdlib-http");
    tool.push().succeeded();
    neighbour.push().succeeded();
    let repository = tool.repository();
    an_object_that_fits_into_no_memory_is_refused(&world, &tool, &repository);
    a_file_of_nothing_but_zeros_passes_by_while_neighbours_push(&world, &tool, &neighbour, &repository);
    what_repeats_itself_stays_as_small_as_it_came(&world, &tool, &repository);
    who_asks_for_it_and_reads_nothing_is_given_up(&world, &tool, &repository);
    a_collection_that_would_unfold_it_ends_at_the_limit_of_a_file(&world, &tool, &repository);
    tool.edit("app.py", "hello from stdlib-http", "unharmed");
    tool.push().succeeded();
    assert_eq!(tool.get("/").body, "unharmed\n");
}

/// What git holds in quarantine of pushes that have not been taken yet.
fn quarantines(repository: &Path) -> usize {
    let entries = fs::read_dir(repository.join("objects")).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_objdir")).count()
}

/// Sends a push as no client would make it, and gives what comes back.
fn send(world: &World, tool: &Tool<'_>, name: &str, object: &str, pack: &[u8]) -> String {
    let body = pack::request(name, object, pack);
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    write!(
        stream,
        "POST /git/{}.git/git-receive-pack HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-git-receive-pack-request\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        tool.name,
        world.port,
        world.token(),
        body.len()
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn says(answer: &str, words: &str) {
    assert!(answer.contains(words), "`{words}` is not in:\n{answer}");
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

fn an_object_that_fits_into_no_memory_is_refused(world: &World, tool: &Tool<'_>, repository: &Path) {
    let before = size_bytes(repository);
    let mut pack = Pack::default();
    let base = vec![b'x'; 1 << 16];
    let small = pack.blob(&base);
    let large = pack.repeat(&small, 255, b"", Some(&base.repeat(255)));
    // 4 GiB in a few hundred bytes.
    let huge = pack.repeat(&large, 257, b"", None);
    let commit = pack.commit(&[huge]);
    let pack = pack.bytes();
    assert!(pack.len() < 4096, "{} bytes", pack.len());
    let answer = send(world, tool, "refs/tags/memory", &commit, &pack);
    says(&answer, "does not fit into the 2 GiB of memory that git has");
    says(&answer, "unpack index-pack abnormal exit");
    says(&answer, "ng refs/tags/memory unpacker error");
    assert_eq!((quarantines(repository), size_bytes(repository)), (0, before));
}

/// Limits of the git processes that work in this repository, as the kernel tells them.
fn limits(repository: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == repository)
                // Not yet git: the limits are set before.
                && fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe.ends_with("git"))
        })
        .filter_map(|process| fs::read_to_string(process.path().join("limits")).ok())
        .collect()
}

fn a_file_of_nothing_but_zeros_passes_by_while_neighbours_push(
    world: &World,
    tool: &Tool<'_>,
    neighbour: &Tool<'_>,
    repository: &Path,
) {
    let mut pack = Pack::default();
    let zeros = pack.zeros(600);
    let commit = pack.commit(&[zeros]);
    let pack = pack.bytes();
    assert!(pack.len() < 2 << 20, "{} bytes", pack.len());
    std::thread::scope(|scope| {
        let bomb = scope.spawn(|| send(world, tool, "refs/heads/zeros", &commit, &pack));
        let until = Instant::now() + Duration::from_secs(30);
        let held = loop {
            let held = limits(repository);
            if !held.is_empty() {
                break held;
            }
            assert!(Instant::now() < until, "git was not seen at work");
            std::thread::sleep(Duration::from_millis(5));
        };
        for limits in held {
            let of = |name: &str| {
                let row = limits.lines().find(|line| line.starts_with(name)).unwrap();
                row[26..].split_whitespace().next().unwrap().parse::<u64>().unwrap()
            };
            assert_eq!(of("Max cpu time"), 120);
            assert_eq!(of("Max address space"), 2 << 30);
            assert_eq!(of("Max file size"), LARGEST_FILE_BYTES);
        }
        neighbour.edit("app.py", "hello from stdlib-http", "not disturbed");
        neighbour.push().succeeded();
        assert_eq!(neighbour.get("/").body, "not disturbed\n");
        let answer = bomb.join().unwrap();
        says(&answer, "the source tree is too large");
        says(&answer, "This commit holds 1 files of 629 MB");
        says(&answer, "plan failed (run 2)");
    });
    assert!(size_bytes(repository) < 4 << 20, "{} bytes", size_bytes(repository));
}

/// Five files of 30 MB from half a megabyte; what they repeat is named by nothing.
fn repetition() -> (String, Vec<u8>) {
    let base = noise(500_000);
    let mut pack = Pack::default();
    let small = pack.blob(&base);
    let bombs: Vec<Blob> = (0..5)
        .map(|n| {
            let behind = [b'0' + n; 4];
            pack.repeat(&small, 60, &behind, Some(&[base.repeat(60), behind.to_vec()].concat()))
        })
        .collect();
    (pack.commit(&bombs), pack.bytes())
}

fn what_repeats_itself_stays_as_small_as_it_came(world: &World, tool: &Tool<'_>, repository: &Path) {
    let (commit, pack) = repetition();
    let before = size_bytes(repository);
    says(&send(world, tool, "refs/tags/repetition", &commit, &pack), "ok refs/tags/repetition");
    let more = size_bytes(repository) - before;
    assert!(more < 2 * pack.len() as u64, "a pack of {} bytes takes {more}", pack.len());
}

fn who_asks_for_it_and_reads_nothing_is_given_up(world: &World, tool: &Tool<'_>, repository: &Path) {
    let listed = tool.git_signed_in(&["ls-remote", "windlass", "refs/tags/repetition"]).unwrap();
    let body = format!("0032want {}\n00000009done\n", &listed[..40]);
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    write!(
        stream,
        "POST /git/{}.git/git-upload-pack HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-git-upload-pack-request\r\ncontent-length: {}\r\n\r\n{body}",
        tool.name,
        world.port,
        world.token(),
        body.len()
    )
    .unwrap();
    let given_up = "a fetch was given up";
    let began = Instant::now();
    while limits(repository).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "git does not send");
        std::thread::sleep(Duration::from_millis(20));
    }
    while !world.log().contains(given_up) || !limits(repository).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "git still waits for a reader");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(began.elapsed() > Duration::from_secs(5), "too early: {:?}", began.elapsed());
    // Alive to the end, and silent.
    drop(stream);
}

fn a_collection_that_would_unfold_it_ends_at_the_limit_of_a_file(
    world: &World,
    tool: &Tool<'_>,
    repository: &Path,
) {
    // The day after: a full collection is due.
    let yesterday = SystemTime::now() - Duration::from_hours(48);
    fs::File::open(repository.join("description")).unwrap().set_modified(yesterday).unwrap();
    tool.push_ref("main:refs/tags/next-day").succeeded();
    let until = Instant::now() + Duration::from_secs(60);
    while !world.log().contains("a repository was not looked after") {
        assert!(Instant::now() < until, "no collection was tried:\n{}", world.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let taken = size_bytes(repository);
    assert!(taken < LARGEST_FILE_BYTES + (4 << 20), "{taken} bytes");
    let listed = tool.git_signed_in(&["ls-remote", "windlass", "refs/tags/repetition"]).unwrap();
    assert!(!listed.is_empty(), "nothing is lost");
}
