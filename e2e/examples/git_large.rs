//! Pushes at full size, in minutes and gigabytes: `make git-large`. What is refused is refused by our numbers, and what
//! it takes meanwhile of memory, disk and processor time is measured and bounded.

#![allow(clippy::unwrap_used, reason = "a test of minutes and gigabytes: it fails by panicking")]

use std::{
    fs,
    io::{self, BufWriter, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use testkit::{
    Tool, World,
    pack::{self, Pack},
    size_bytes,
};

/// `git.max_pack_mebibytes` as it is by default.
const MAX_PACK_BYTES: u64 = 128 << 20;
const GIBIBYTE: u64 = 1 << 30;

fn main() {
    let world = World::new();
    let tool = world.tool("large", "stdlib-http");
    tool.push().succeeded();
    let neighbour = world.tool("neighbour", "stdlib-http");
    let repository = tool.repository();
    a_million_files(&world, &tool, &repository);
    a_million_refs(&world, &tool, &repository);
    five_gigabytes(&world, &tool, &repository);
    two_minutes_of_work_in_a_few_kilobytes(&world, &tool, &neighbour, &repository);
    four_gigabytes_of_memory_by_gits_own_limits();
    tool.edit("app.py", "hello from stdlib-http", "unharmed");
    tool.push().succeeded();
    assert_eq!(tool.get("/").body, "unharmed\n");
    println!("all limits held");
}

/// The most that was seen while something went on, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    serve: u64,
    git: u64,
    disk: u64,
    seconds: f64,
}

/// Memory of a process now; what has ended takes none.
fn resident_bytes(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Does something and looks every few milliseconds what serve, git and the repository take.
fn measured<T>(what: &str, world: &World, repository: &Path, act: impl FnOnce() -> T) -> (T, Peak) {
    let serve = world.part("serve").unwrap().to_string();
    let (done, peak) = (AtomicBool::new(false), Mutex::new(Peak::default()));
    let began = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let processes = fs::read_dir("/proc").unwrap().flatten();
                let here = |path: &Path| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == repository);
                let git = processes.filter(|process| here(&process.path()));
                let git = git.map(|process| resident_bytes(&process.file_name().to_string_lossy())).max();
                let mut peak = peak.lock().unwrap();
                peak.serve = peak.serve.max(resident_bytes(&serve));
                peak.git = peak.git.max(git.unwrap_or(0));
                peak.disk = peak.disk.max(size_bytes(repository));
                drop(peak);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // Also when it panics, or the scope would wait for ever.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        done.store(true, Ordering::Relaxed);
        result
    });
    let mut peak = peak.into_inner().unwrap();
    peak.seconds = began.elapsed().as_secs_f64();
    let mebibytes = |bytes: u64| bytes >> 20;
    println!(
        "{what}: {:.1} s, serve {} MiB, git {} MiB, repository {} MiB at most",
        peak.seconds,
        mebibytes(peak.serve),
        mebibytes(peak.git),
        mebibytes(peak.disk)
    );
    (result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), peak)
}

/// Lets git make objects of a stream of commands in the working copy (git-fast-import(1)).
fn import(tool: &Tool<'_>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let mut child = Command::new("git")
        .args(["-c", "core.compression=0", "-c", "fastimport.unpackLimit=0"])
        .args(["fast-import", "--quiet", "--force", "--big-file-threshold=1m"])
        .current_dir(&tool.directory)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
    write(&mut stream).unwrap();
    stream.flush().unwrap();
    drop(stream);
    assert!(child.wait().unwrap().success());
}

const COMMIT: &str = "committer M <m@example.org> 1700000000 +0000\ndata 1\nx\n";

fn a_million_files(world: &World, tool: &Tool<'_>, repository: &Path) {
    // Each another one: more objects than one push may bring.
    import(tool, |stream| {
        write!(stream, "commit refs/heads/million\n{COMMIT}")?;
        for n in 0..1_000_000 {
            let content = n.to_string();
            write!(stream, "M 644 inline d{}/f{n}\ndata {}\n{content}\n", n / 1000, content.len())?;
        }
        Ok(())
    });
    let ((), _) = measured("10⁶ files, each another one", world, repository, || {
        tool.push_ref("million")
            .failed()
            .says("this push brings 1001002 objects; 500000 may come at once (git.max_objects)");
    });
    // All the same: few objects, and as many files.
    import(tool, |stream| {
        write!(stream, "blob\nmark :1\ndata 1\nx\ncommit refs/heads/same\n{COMMIT}")?;
        (0..1_000_000).try_for_each(|n| writeln!(stream, "M 644 :1 d{}/f{n}", n / 1000))
    });
    let ((), peak) = measured("10⁶ files, all the same", world, repository, || {
        tool.push_ref("same")
            .failed()
            .says("the source tree is too large")
            .says("more files than can be listed");
    });
    assert!(peak.serve < GIBIBYTE && peak.git < GIBIBYTE, "{peak:?}");
}

/// git's own client compares each name with every other and would take days over so many: they come as bytes.
fn a_million_refs(world: &World, tool: &Tool<'_>, repository: &Path) {
    let commit = tool.git(&["rev-parse", "main"]).unwrap();
    let none = "0".repeat(40);
    let mut body = Vec::new();
    for n in 0..1_000_000 {
        let capabilities = if n == 0 { "\0 report-status side-band-64k" } else { "" };
        let line = format!("{none} {commit} refs/tags/t{n:07}{capabilities}");
        write!(body, "{:04x}{line}", line.len() + 4).unwrap();
    }
    body.extend(b"0000");
    body.extend(Pack::default().bytes());
    let ((), peak) = measured("10⁶ refs", world, repository, || {
        let answer = send(world, tool, &body);
        for words in [
            "names more refs than 1 MiB hold; 1000 may come at once",
            "ng refs/tags/t0000000 too many refs at once",
        ] {
            assert!(answer.contains(words), "`{words}` is not in:\n{}", &answer[..answer.len().min(1000)]);
        }
    });
    assert!(peak.serve < GIBIBYTE / 4, "{peak:?}");
    for n in 0..3000 {
        fs::write(tool.directory.join(format!(".git/refs/tags/t{n}")), format!("{commit}\n")).unwrap();
    }
    let ((), _) = measured("3,000 refs", world, repository, || {
        tool.git_says(&["push", "windlass", "--tags"])
            .failed()
            .says("this push names 3000 refs; 1000 may come at once");
    });
    assert_eq!(tool.git_signed_in(&["ls-remote", "--tags", "windlass"]).unwrap(), "");
}

fn five_gigabytes(world: &World, tool: &Tool<'_>, repository: &Path) {
    import(tool, |stream| {
        write!(stream, "commit refs/heads/five\n{COMMIT}M 644 inline noise\ndata {}\n", 5 * GIBIBYTE)?;
        io::copy(&mut fs::File::open("/dev/urandom")?.take(5 * GIBIBYTE), stream)?;
        writeln!(stream)
    });
    let before = size_bytes(repository);
    let (pushed, peak) = measured("a pack of 5 GiB", world, repository, || tool.push_ref("five"));
    pushed
        .failed()
        .says("one push may upload 128 MiB (git.max_pack_mebibytes)")
        .says("pack exceeds maximum allowed size")
        .says("(unpacker error)");
    assert!(peak.disk < before + MAX_PACK_BYTES + (2 << 20), "{peak:?}");
    assert!(peak.serve < GIBIBYTE / 4 && peak.git < GIBIBYTE / 4, "{peak:?}");
    assert_eq!(size_bytes(repository), before, "something of it was left");
}

/// A push as no client would make it, and what comes back.
fn send(world: &World, tool: &Tool<'_>, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
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
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn two_minutes_of_work_in_a_few_kilobytes(
    world: &World,
    tool: &Tool<'_>,
    neighbour: &Tool<'_>,
    repository: &Path,
) {
    let mut pack = Pack::default();
    let base = pack.zeros(15);
    for n in 0..2000_u32 {
        pack.repeat(&base, 40, &n.to_be_bytes(), None);
    }
    let commit = pack.commit(&[]);
    let pack = pack::request("refs/tags/work", &commit, &pack.bytes());
    assert!(pack.len() < 200_000, "{} bytes", pack.len());
    let before = size_bytes(repository);
    let (answer, peak) = measured("1.2 TB in 200 kB", world, repository, || {
        std::thread::scope(|scope| {
            let bomb = scope.spawn(|| send(world, tool, &pack));
            neighbour.push().succeeded();
            assert!(!bomb.is_finished(), "the neighbour was to push beside it");
            bomb.join().unwrap()
        })
    });
    for words in
        ["git was ended: one push may take 120 s of processor time", "ng refs/tags/work unpacker error"]
    {
        assert!(answer.contains(words), "`{words}` is not in:\n{answer}");
    }
    assert!(peak.git < 2 * GIBIBYTE, "{peak:?}");
    assert_eq!(size_bytes(repository), before, "something of it was left");
}

/// The twin of `an_object_that_fits_into_no_memory_is_refused`: git alone holds whatever it is told to.
fn four_gigabytes_of_memory_by_gits_own_limits() {
    let mut pack = Pack::default();
    let base = vec![b'x'; 1 << 16];
    let small = pack.blob(&base);
    let large = pack.repeat(&small, 255, b"", Some(&base.repeat(255)));
    pack.repeat(&large, 257, b"", None);
    let place = std::env::temp_dir().join(format!("git-large-{}", std::process::id()));
    let at = place.to_str().unwrap();
    assert!(Command::new("git").args(["init", "--quiet", "--bare", at]).status().unwrap().success());
    let mut child = Command::new("git")
        .args(["-C", at, "index-pack", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&pack.bytes()).unwrap();
    let mut most = 0;
    let taken = loop {
        most = most.max(resident_bytes(&child.id().to_string()));
        if let Some(status) = child.try_wait().unwrap() {
            break status.success();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    fs::remove_dir_all(&place).unwrap();
    println!("4 GiB of memory in a few hundred bytes, without our limit: git {} MiB", most >> 20);
    assert!(taken && most > 3 * GIBIBYTE, "taken: {taken}, {most} bytes");
}
