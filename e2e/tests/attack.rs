//! Hostile code in a build and in a running tool: what it tries comes to nothing, and nobody else notices. Each
//! single defence has its twin, in which it is off and the attack succeeds, beside the code of that defence.

use testkit::{Tool, World};

/// What must never come of an attack.
const SUCCESSES: [&str; 5] = ["REACHED", "READ", "WRITTEN", "DONE", "NOT CONTAINED"];

#[track_caller]
fn nothing_succeeded(transcript: &str) {
    let attacks: Vec<&str> = transcript.lines().filter(|line| line.contains("attack ")).collect();
    assert!(attacks.len() > 15, "the attacks were not tried:\n{transcript}");
    for line in &attacks {
        assert!(!SUCCESSES.iter().any(|word| line.ends_with(word)), "{line}");
    }
    let none = "capabilities 0000000000000000 bounding 0000000000000000 no_new_privs 1";
    assert!(attacks.iter().any(|line| line.contains(none)), "{transcript}");
}

/// Rewrites the port that the attacks try on the host to the platform's own.
fn aim(tool: &Tool<'_>, file: &str, port: u16) {
    tool.edit(file, "os.environ.get(\"HOST_PORT\", \"0\")", &format!("{port}"));
}

#[test]
fn hostile_code_gets_nowhere_and_its_neighbour_does_not_notice() {
    let world = World::new();
    let neighbour = world.tool("neighbour", "stdlib-http");
    neighbour.push().succeeded();

    let build = world.tool("hostile-build", "hostile-build");
    aim(&build, "hostile/attacks.py", world.port);
    let pushed = build.push().failed().says("build     failed");
    nothing_succeeded(&pushed.text);

    let run = world.tool("hostile-run", "hostile-run");
    aim(&run, "attacks.py", world.port);
    run.push().succeeded();
    nothing_succeeded(&run.get("/attacks").body);
    assert!(run.get("/disk").body.starts_with("contained after"), "{}", run.get("/disk").body);
    assert!(run.get("/fork").body.starts_with("contained after"));
    assert_eq!(neighbour.get("/").body, "hello from stdlib-http\n");

    let hog = world.tool("hog", "memory-hog");
    hog.push().succeeded();
    let _ = hog.get("/eat");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !hog.cli(&["logs"]).text.contains("killed: memory 512 MiB") {
        assert!(std::time::Instant::now() < until, "the kill was not told: {}", hog.cli(&["logs"]).text);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(neighbour.get("/").body, "hello from stdlib-http\n");
}
