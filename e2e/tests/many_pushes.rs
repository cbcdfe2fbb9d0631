//! Many pushes of two tools by four clients at once: none is lost, none doubled, and what the rows, the branch, the
//! releases and the router say is one truth. `make soak` pushes more (`WINDLASS_PUSHES`).

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use testkit::{Tool, World};

const TOOLS: [&str; 2] = ["left", "right"];
const CLIENTS: u64 = 4;

/// Somebody's working copy of a tool.
struct Client<'a> {
    tool: &'a Tool<'a>,
    number: u64,
    directory: PathBuf,
}

/// What one push came to, as its pusher saw it.
struct Push {
    commit: String,
    status: i32,
    text: String,
}

impl Push {
    /// The run that the platform acknowledged it as.
    fn run(&self) -> Option<u64> {
        self.text.split("· run ").nth(1)?.split(' ').next()?.parse().ok()
    }
}

impl Client<'_> {
    fn git(&self, arguments: &[&str]) -> bool {
        let mut git: Command = self.tool.signed_in();
        git.current_dir(&self.directory).args(arguments).output().unwrap().status.success()
    }

    /// Takes in what the branch is at, changes one line, pushes.
    fn push(&self, round: u64) -> Push {
        // Before the first push there is nothing to take in.
        if self.git(&["fetch", "--quiet", "windlass", "main"]) {
            assert!(self.git(&["reset", "--quiet", "--hard", "FETCH_HEAD"]));
        }
        let greeting = format!("GREETING = \"client {} round {round}\"", self.number);
        let file = self.directory.join("app.py");
        let text = fs::read_to_string(&file).unwrap();
        let line = text.lines().find(|line| line.starts_with("GREETING")).unwrap().to_owned();
        fs::write(&file, text.replace(&line, &greeting)).unwrap();
        assert!(self.git(&["commit", "--quiet", "--all", "--message", &greeting]));
        let mut head = self.tool.signed_in();
        let head = head.current_dir(&self.directory).args(["rev-parse", "HEAD"]).output().unwrap();
        let output = self.tool.push_command("HEAD:main").current_dir(&self.directory).output().unwrap();
        Push {
            commit: String::from_utf8(head.stdout).unwrap().trim().to_owned(),
            status: output.status.code().unwrap(),
            text: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn json(tool: &Tool<'_>, arguments: &[&str]) -> Value {
    let ran = tool.cli(&[arguments, &["--json"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.text);
    serde_json::from_str(&ran.text).unwrap()
}

/// All rows of a list, whose pages hold at most 200.
fn runs(tool: &Tool<'_>) -> BTreeMap<u64, Value> {
    let rows = json(tool, &["runs", "list", "--limit", "200"])["runs"].as_array().unwrap().clone();
    rows.into_iter().map(|row| (row["number"].as_u64().unwrap(), row)).collect()
}

#[test]
fn none_is_lost_none_doubled_and_refs_and_releases_agree() {
    let pushes: u64 = env::var("WINDLASS_PUSHES").map_or(40, |number| number.parse().unwrap());
    let world = World::new();
    let tools = TOOLS.map(|name| world.tool(name, "stdlib-http"));
    let began = Instant::now();
    let mut seen: Vec<(usize, Push)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let place = usize::try_from(number).unwrap() % TOOLS.len();
                let tool = &tools[place];
                let directory = world.data.join("clones").join(format!("client-{number}"));
                scope.spawn(move || {
                    let copied =
                        Command::new("cp").arg("-r").arg(&tool.directory).arg(&directory).status().unwrap();
                    assert!(copied.success());
                    let client = Client { tool, number, directory };
                    (0..pushes / CLIENTS).map(|round| (place, client.push(round))).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let took = began.elapsed();
    println!("{} pushes by {CLIENTS} clients in {:.1} s", seen.len(), took.as_secs_f64());
    for (place, tool) in tools.iter().enumerate() {
        let mine: Vec<Push> = seen.extract_if(.., |(of, _)| *of == place).map(|(_, push)| push).collect();
        judge(tool, &mine);
    }
}

fn judge(tool: &Tool<'_>, pushes: &[Push]) {
    // Its last runs may still be winding down after their pushers have gone.
    let until = Instant::now() + Duration::from_secs(60);
    let mut rows = runs(tool);
    while rows.values().any(|row| row["ended"].is_null()) {
        assert!(Instant::now() < until, "a run does not end: {rows:?}");
        thread::sleep(Duration::from_millis(100));
        rows = runs(tool);
    }
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    let mut acknowledged = BTreeMap::new();
    for push in pushes {
        let Some(run) = push.run() else {
            // Somebody else's push was live between this one's fetch and its push.
            let known = ["fetch first", "non-fast-forward"].iter().any(|why| push.text.contains(why));
            assert!(push.status == 1 && known, "{}", push.text);
            *ends.entry("rejected before a run, fetch first".to_owned()).or_default() += 1;
            continue;
        };
        assert!(acknowledged.insert(run, push).is_none(), "run {run} stands for two pushes");
        let row = rows.get(&run).unwrap_or_else(|| panic!("run {run} was acknowledged and is not there"));
        let state = row["state"].as_str().unwrap();
        assert_eq!(row["commit"], push.commit.as_str(), "run {run}");
        // Somebody else's push went live while this one was on its way, or while its run began.
        let overtaken = state == "failed" && push.text.contains("main moved meanwhile");
        let known = overtaken || matches!(state, "live" | "superseded");
        assert!(known, "run {run} is {state}:\n{}", push.text);
        assert_eq!(push.status == 0, state == "live", "run {run} is {state}:\n{}", push.text);
        let end = if overtaken { "failed, main moved meanwhile" } else { state };
        *ends.entry(end.to_owned()).or_default() += 1;
    }
    let numbers = |count: usize| (1..=count as u64).collect::<Vec<u64>>();
    assert_eq!(
        rows.keys().copied().collect::<Vec<_>>(),
        numbers(acknowledged.len()),
        "runs and pushes differ"
    );

    let releases = json(tool, &["releases", "--limit", "200"])["releases"].as_array().unwrap().clone();
    let mut made: Vec<u64> = releases.iter().map(|release| release["number"].as_u64().unwrap()).collect();
    made.sort_unstable();
    assert_eq!(made, numbers(made.len()), "release numbers have gaps or doubles");
    let current: Vec<&Value> = releases.iter().filter(|release| release["current"] == true).collect();
    let [current] = current[..] else { panic!("not one release is current: {releases:?}") };
    let commit = current["commit"].as_str().unwrap();
    let last_live = acknowledged.iter().rev().find(|(run, _)| rows[*run]["state"] == "live").unwrap();
    assert_eq!(
        current["run"].as_u64().unwrap(),
        *last_live.0,
        "the newest run that went live is what is live"
    );
    let main = tool.git_signed_in(&["ls-remote", "windlass", "refs/heads/main"]).unwrap();
    assert!(main.starts_with(commit), "main is {main}, live is {commit}");
    let live = &last_live.1.commit;
    assert_eq!(live, commit);
    let greeting = tool
        .git_signed_in(&["fetch", "--quiet", "windlass", "main"])
        .and_then(|_| tool.git(&["show", "--no-patch", "--format=%s", "FETCH_HEAD"]));
    let greeting = greeting.unwrap().replace("GREETING = \"", "").replace('"', "");
    assert_eq!(tool.get("/").body, format!("{greeting}\n"));
    println!("{}: {} runs, {} releases, {ends:?}", tool.name, rows.len(), made.len());
}
