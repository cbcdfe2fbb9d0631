//! Hostile code in a build and in a running tool, hostile words in its files and its output: what it tries comes to
//! nothing, and nobody else notices. Each single defence has its twin, in which it is off and the attack succeeds,
//! beside the code of that defence; docs/threats.md lists them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::PathBuf,
    time::{Duration, Instant},
};
use testkit::{Tool, World, wait_for};

/// What must never come of an attack.
const SUCCESSES: [&str; 5] = ["REACHED", "READ", "WRITTEN", "DONE", "NOT CONTAINED"];

#[track_caller]
fn nothing_succeeded(transcript: &str) {
    let attacks: Vec<&str> = transcript.lines().filter(|line| line.contains("attack ")).collect();
    assert!(attacks.len() > 45, "the attacks were not tried:\n{transcript}");
    for line in &attacks {
        assert!(!SUCCESSES.iter().any(|word| line.ends_with(word)), "{line}");
    }
    let none = "capabilities 0000000000000000 bounding 0000000000000000 no_new_privs 1";
    assert!(attacks.iter().any(|line| line.contains(none)), "{transcript}");
}

/// Rewrites what the attacks try on the host to what is really there.
fn aim(tool: &Tool<'_>, file: &str, port: u16, socket: &str) {
    tool.edit(file, "os.environ.get(\"HOST_PORT\", \"0\")", &format!("{port}"));
    tool.edit(file, "HOST_SOCKET", socket);
}

#[test]
fn hostile_code_gets_nowhere_and_its_neighbour_does_not_notice() {
    let world = World::new();
    let neighbour = world.tool("neighbour", "stdlib-http");
    neighbour.push().succeeded();
    let socket = format!("windlass-attack-{}", world.port);
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&socket).unwrap()).unwrap();

    let build = world.tool("hostile-build", "hostile-build");
    aim(&build, "hostile/attacks.py", world.port, &socket);
    let pushed = build.push().failed().says("build     failed");
    nothing_succeeded(&pushed.text);

    let run = world.tool("hostile-run", "hostile-run");
    aim(&run, "attacks.py", world.port, &socket);
    run.push().succeeded();
    nothing_succeeded(&run.get("/attacks").body);
    assert!(run.get("/disk").body.starts_with("contained after"), "{}", run.get("/disk").body);
    assert!(run.get("/fork").body.starts_with("contained after"));
    assert_eq!(neighbour.get("/").body, "hello from stdlib-http\n");
    // What it answers is its own affair; what it no longer answers is made to run again.
    assert_eq!((run.get("/broken").status, run.get("/broken").body.as_str()), (500, "harmless\n"));
    assert_ne!(run.get("/die").status, 200);
    wait_for("its next run", || run.get("/").body == "harmless\n");

    let hog = world.tool("hog", "memory-hog");
    hog.push().succeeded();
    let _ = hog.get("/eat");
    wait_for("the word about the kill", || hog.cli(&["logs"]).text.contains("killed: memory 512 MiB"));
    assert_eq!(neighbour.get("/").body, "hello from stdlib-http\n");
}

#[test]
fn hostile_words_stay_words() {
    let world = World::new();
    let liar = world.tool("liar", "liar");
    output_never_passes_for_the_platforms(&liar);
    let tool = world.tool("files", "stdlib-http");
    files_are_told_by_line_and_start_nothing(&tool, &canary(&world));
    names_are_refused(&world);
    wrong_tokens_are_slowed_down_and_a_right_one_is_taken(&world);
}

/// A file that an attack would leave on the host.
fn canary(world: &World) -> PathBuf {
    PathBuf::from(format!("/tmp/windlass-canary-{}", world.port))
}

fn output_never_passes_for_the_platforms(liar: &Tool<'_>) {
    let began = Instant::now();
    let pushed = liar.push().succeeded().says("live      http://liar.localhost");
    // The child sleeps for an hour.
    assert!(began.elapsed() < Duration::from_secs(1200), "a child of the release command held the run up");
    let ours = |line: &str| line.strip_prefix("remote: ").unwrap_or(line).trim_end().to_owned();
    let lies: Vec<String> = pushed.text.lines().map(ours).filter(|line| line.contains("evil")).collect();
    assert!(lies.len() >= 6, "{}", &pushed.text[..pushed.text.len().min(4000)]);
    for lie in lies {
        assert!(lie.starts_with("           "), "{lie:?} reads as a line of the platform");
        assert!(!lie.contains(['\u{1b}', '\u{7}', '\u{8}', '\u{2028}']), "{lie:?} drives the terminal");
    }
    // 20 MB of one line: kept and shown up to the log's limit of 16 MiB.
    assert!(pushed.text.len() < 40 << 20, "{} bytes were shown", pushed.text.len());
    assert_eq!(liar.get("/").body, "hello\n");
}

fn files_are_told_by_line_and_start_nothing(tool: &Tool<'_>, canary: &std::path::Path) {
    let canary_text = canary.display().to_string();
    let env = |name: &str, value: &str| {
        format!("[[io.buildpacks.build.env]]\nname = '{name}'\nvalue = '{value}'\n")
    };
    let large = format!("a = '{}'\n", "x".repeat(300 * 1024));
    let python = format!("type: !!python/object/apply:os.system ['touch {canary_text}']\n");
    let shell = format!("3.13; touch {canary_text}\n");
    for (file, text, words) in [
        ("Procfile", "web: a\0b\n", "holds a NUL character"),
        ("Procfile", "../x: a\n", "`../x` is not a process type"),
        ("Procfile", "we\u{1b}]0;x\u{7}b: a\n", "is not a process type"),
        ("Procfile", "web: a\nweb: b\n", "Procfile line 2: `web` stands here a second time"),
        ("project.toml", &env("LD_PRELOAD", "/tmp/x.so"), "`LD_PRELOAD` is set by the platform"),
        ("project.toml", "[_.metadata.windlass]\nenv.PORT = '1'\n", "`PORT` is set by the platform"),
        ("project.toml", "a = 1\na = 2\n", "project.toml line 2"),
        ("project.toml", &format!("a = {}", "[".repeat(100_000)), "project.toml line 1"),
        ("project.toml", &large, "is larger than 256 KiB"),
        ("service.template", "a: &x [1]\nb: *x\n", "aliases are not used here"),
        ("runtime.txt", &shell, "runtime.txt"),
        (".python-version", "../../../etc/passwd\n", ".python-version"),
    ] {
        tool.write(file, text);
        let pushed = tool.push().failed().says("plan      failed").says(words);
        assert!(!pushed.text.contains(['\u{7}', '\0']), "{:?}", pushed.text);
        tool.git(&["reset", "--quiet", "--hard", "HEAD~1"]).unwrap();
    }
    // Accepted, since they are the tool's own affair: they reach programs inside the sandbox and none outside it.
    let touch = format!("touch {canary_text}");
    let mut project = String::new();
    for name in ["GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "PAGER", "EDITOR", "PYTHONSTARTUP", "BASH_ENV"] {
        project.push_str(&env(name, &touch));
    }
    project.push_str(&env("HTTP_PROXY", "http://169.254.169.254:80"));
    std::fs::write(tool.directory.join("project.toml"), project).unwrap();
    std::fs::write(tool.directory.join("service.template"), python).unwrap();
    tool.write(
        "Procfile",
        &format!("release: {touch} && test -e {canary_text}\nweb: {touch}; exec python3 app.py\n"),
    );
    tool.push().succeeded().says("live");
    assert!(!canary.exists(), "a file of the tool started something on the host");
}

fn names_are_refused(world: &World) {
    let long = "x".repeat(300);
    for name in [
        "x;id",
        "$(id)",
        "`id`",
        "a|b",
        "a&b",
        "a\nb",
        "a\u{1b}[31mb",
        "ma\u{202e}in",
        "a\u{200b}b",
        "x",
        &long,
        "-rf",
        "--upload-pack=x",
        "..",
        ".git",
        "Neighbour",
        "a--b",
        "a_-b",
        "git",
    ] {
        let created = world.cli(&["tools", "create", "--", name]);
        assert_ne!(created.status, 0, "{name:?}");
        let text = created.text;
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{name:?} reaches the terminal: {text:?}");
        assert!(text.contains("name"), "{name:?}: {text}");
    }
}

fn wrong_tokens_are_slowed_down_and_a_right_one_is_taken(world: &World) {
    let ask = |token: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = "GET /api/v1/whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        write!(
            stream,
            "{head}x-forwarded-for: 192.0.2.{}\r\nauthorization: Bearer {token}\r\n\r\n",
            token.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answers: Vec<String> = (0..40).map(|n| ask(&format!("wl_personal_{n}"))).collect();
    assert!(answers[0].starts_with("HTTP/1.1 401 "), "{}", answers[0]);
    let slowed = answers.last().unwrap();
    assert!(slowed.starts_with("HTTP/1.1 429 ") && slowed.contains("retry-after: "), "{slowed}");
    assert!(slowed.contains("too many wrong tokens came from your address"), "{slowed}");
    assert!(world.log().contains("wrong tokens within a minute"), "the operator is not told");
    assert!(ask(world.token()).starts_with("HTTP/1.1 200 "), "who shares an address was locked out");
}
