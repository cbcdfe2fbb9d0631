//! Parts are replaced, killed and lose their power: tools go on or come back, and no request to them is lost.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};
use testkit::{Hold, Load, Loss, Tool, World, wait_for};

const PARTS: [&str; 3] = ["helper", "router", "serve"];

/// Pushes `e2e/apps/slow-build` in the background and waits until its build is in the middle; it stays there until the
/// story lets it go on.
fn push_until_it_builds<'a>(world: &'a World, tool: &Tool<'_>) -> (Child, Hold<'a>) {
    tool.edit("slow/backend.py", "\"8\"", "\"3600\"");
    let push = tool.push_command("main").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let build = world.hold(3600);
    build.reached();
    (push, build)
}

/// What the pusher read, and the exit status of git.
fn ended(mut push: Child) -> (String, Option<i32>) {
    let mut text = String::new();
    push.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (text, push.wait().unwrap().code())
}

#[test]
fn parts_are_replaced_under_load_and_nobody_notices() {
    let world = World::new();
    let steady = world.tool("steady", "steady");
    steady.push().succeeded();
    let slow = world.tool("slow", "slow-build");
    let shims = world.shims();
    let load = steady.load(100);
    let half = world.hold(3601);
    let download = thread::scope(|scope| {
        let download = scope.spawn(|| steady.get("/held?seconds=3601").body);
        half.reached();
        for part in PARTS {
            let old = world.part(part).unwrap();
            let replaced = world.reload(part);
            assert_eq!(replaced.status, 0, "{part}: {}", replaced.text);
            assert_ne!(world.part(part).unwrap(), old, "{part}");
        }
        half.let_go();
        download.join().unwrap()
    });
    assert_eq!(download, "line 0\nline 1\n");
    // A pusher hears from the serve that let the push in, while the one that took over builds and deploys.
    let (push, build) = push_until_it_builds(&world, &slow);
    assert_eq!(world.reload("serve").status, 0);
    assert_eq!(world.reload("helper").status, 0);
    assert_eq!(world.reload("router").status, 0);
    build.let_go();
    let (text, status) = ended(push);
    assert!(status == Some(0) && text.contains("live "), "{text}");
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");
    assert!(shims.iter().all(|shim| world.shims().contains(shim)), "every tool runs on");
    wait_for("the end of what was replaced", || PARTS.iter().all(|part| world.parts(part).len() == 1));
    clients_that_stand_still_are_cut(&world);
    let unknown = world.command().args(["reload", "/nowhere/windlass.toml"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(8));
}

/// Clients that read nothing, or send a byte now and then, hold replaced parts for as long as the settings say.
fn clients_that_stand_still_are_cut(world: &World) {
    let settings = fs::read_to_string(world.settings_file()).unwrap();
    fs::write(world.settings_file(), settings.replace("[server]", "[server]\nfinish_seconds = 2")).unwrap();
    // From here on they know.
    assert_eq!(world.reload("router").status, 0);
    assert_eq!(world.reload("serve").status, 0);
    wait_for("the end of the old ones", || PARTS.iter().all(|part| world.parts(part).len() == 1));
    let heads = [
        "GET /slow?seconds=600 HTTP/1.1\r\nHost: steady.localhost\r\n\r\n",
        "GET /upgrade HTTP/1.1\r\nHost: steady.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        "POST /digest HTTP/1.1\r\nHost: steady.localhost\r\nContent-Length: 100000\r\n\r\n",
        "POST /api/v1/tools HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
    ];
    let open = |head: &&str| {
        let mut client = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
        client.write_all(head.as_bytes()).unwrap();
        client
    };
    for part in ["router", "serve"] {
        let mut clients: Vec<TcpStream> = heads.iter().map(open).collect();
        for client in &mut clients[2..] {
            client.write_all(b"x").unwrap();
        }
        assert_eq!(world.reload(part).status, 0);
        wait_for("its end", || {
            for client in &mut clients[2..] {
                let _ = client.write_all(b"x");
            }
            world.parts(part).len() == 1
        });
    }
    fs::write(world.settings_file(), settings).unwrap();
}

/// Puts a program where the platform's lies, as an upgrade does: a new file under the old name.
fn install(world: &World, program: &Path, mode: u32) {
    let new = world.program().with_extension("new");
    fs::copy(program, &new).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&new, world.program()).unwrap();
}

/// Whether the starter's code is that of the file that lies in its place.
fn starter_is_new(world: &World) -> bool {
    let program = fs::read_link(format!("/proc/{}/exe", world.starter().unwrap())).unwrap();
    program == world.program()
}

fn steady_load(tool: &Tool<'_>, during: impl FnOnce()) {
    let load = tool.load(100);
    during();
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");
}

#[test]
fn the_starter_becomes_another_program_under_load_and_stays_what_it_is_where_that_is_of_no_use() {
    let world = World::new();
    let steady = world.tool("steady", "steady");
    steady.push().succeeded();
    let slow = world.tool("slow", "slow-build");
    let shims = world.shims();
    let copy = world.data.join("windlass.kept");
    fs::copy(world.program(), &copy).unwrap();

    steady_load(&steady, || {
        let (push, build) = push_until_it_builds(&world, &slow);
        for _ in 0..2 {
            let parts = PARTS.map(|part| world.part(part).unwrap());
            install(&world, &copy, 0o755);
            assert!(!starter_is_new(&world));
            let replaced = world.reload("up");
            assert_eq!(replaced.status, 0, "{}", replaced.text);
            assert!(replaced.text.contains("up       replaced in"), "{}", replaced.text);
            assert!(starter_is_new(&world));
            assert_eq!(PARTS.map(|part| world.part(part).unwrap()), parts, "they are its children still");
        }
        assert_eq!(world.reload("serve").status, 0);
        assert_eq!(world.reload("up").status, 0);
        assert_eq!(world.parts("serve").len(), 2, "the one that tells the pusher is still waited for");
        // The platform is found without its settings.
        let all = world.command().arg("reload").output().unwrap();
        let (said, error) = (String::from_utf8_lossy(&all.stdout), String::from_utf8_lossy(&all.stderr));
        assert!(all.status.success() && said.lines().count() == 4, "{said}{error}");
        build.let_go();
        let (text, status) = ended(push);
        assert!(status == Some(0) && text.contains("live "), "{text}");
        wait_for("the end of what was replaced", || PARTS.iter().all(|part| world.parts(part).len() == 1));
    });

    // What would not do is told, and nothing changes.
    let refused = |why: &str| {
        let parts = PARTS.map(|part| world.part(part).unwrap());
        // The verb's program would be the one in the platform's place: another copy of it asks.
        let refused = Command::new(&copy).args(["reload", "--server", &world.url()]).output().unwrap();
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(8), "{text}");
        assert!(text.contains("the up was not replaced") && text.contains(why), "{text}");
        assert_eq!(PARTS.map(|part| world.part(part).unwrap()), parts);
    };
    let script = world.data.join("script");
    fs::write(&script, "#!/bin/sh\necho 'this one takes form 7' >&2\nexit 1\n").unwrap();
    let empty = world.data.join("empty");
    fs::write(&empty, "").unwrap();
    let settings = fs::read_to_string(world.settings_file()).unwrap();
    steady_load(&steady, || {
        install(&world, &script, 0o755);
        refused("this one takes form 7");
        install(&world, Path::new("/bin/true"), 0o755);
        refused("would not take over");
        install(&world, &copy, 0o644);
        refused("Permission denied");
        install(&world, &empty, 0o755);
        refused("would not take over");
        fs::remove_file(world.program()).unwrap();
        refused("cannot find");
        install(&world, &copy, 0o755);
        for (settings, why) in [
            (settings.replace("[server]", "[server]\nlisen = 1"), "lisen"),
            (
                settings.replace(&format!("127.0.0.1:{}", world.port), "127.0.0.1:1"),
                "server.listen is 127.0.0.1:1 now",
            ),
            (settings.replace("[egress]", "[runs]\nparallel = 0\n[egress]"), "runs.parallel = 0"),
        ] {
            fs::write(world.settings_file(), settings).unwrap();
            refused(why);
        }
        fs::write(world.settings_file(), &settings).unwrap();
    });

    // SIGHUP, as a service manager sends it: up and all parts. What ends afterwards is started again by the new program.
    steady_load(&steady, || {
        let old = PARTS.map(|part| world.part(part).unwrap());
        let starter = Pid::from_raw(i32::try_from(world.starter().unwrap()).unwrap()).unwrap();
        install(&world, &copy, 0o755);
        kill_process(starter, Signal::HUP).unwrap();
        wait_for("all new parts", || {
            starter_is_new(&world)
                && PARTS.iter().zip(&old).all(|(part, old)| !world.parts(part).contains(old))
        });
        for part in ["helper", "serve"] {
            let old = world.part(part).unwrap();
            kill_process(Pid::from_raw(old).unwrap(), Signal::KILL).unwrap();
            wait_for("another one", || world.part(part).is_some_and(|pid| pid != old));
            wait_for("its answer", || steady.cli(&["status"]).status == 0);
        }
    });
    // Their program's file is another one by now.
    let is_shim =
        |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().ends_with(b"\0shim\0");
    assert!(shims.iter().all(is_shim), "every tool runs on");
}

#[test]
fn killed_parts_refuse_nobody_and_what_ran_runs_on_or_again_whatever_ended() {
    let mut world = World::new();
    let steady = world.tool("steady", "steady");
    steady.push().succeeded();
    let load = steady.load(50);
    for part in ["helper", "serve", "router"] {
        let old = world.part(part).unwrap();
        kill_process(Pid::from_raw(old).unwrap(), Signal::KILL).unwrap();
        wait_for("another one", || world.part(part).is_some_and(|pid| pid != old));
        wait_for("its answer", || steady.cli(&["status"]).status == 0);
    }
    let report = load.stop();
    // Only what the killed router had in its hands is cut: of each of those who asked, one request at most.
    assert!(report.lost.keys().all(|loss| *loss == Loss::Cut), "{report}");
    assert!(report.lost() <= u64::try_from(Load::AT_ONCE).unwrap(), "{report}");

    let slow = world.tool("slow", "slow-build");
    let (push, _) = push_until_it_builds(&world, &slow);
    drop(slow);
    world.down().unwrap();
    let (text, status) = ended(push);
    assert!(status == Some(1) && text.contains("goes on without you"), "{text}");
    assert!(text.contains("run 1 goes on"), "{text}");
    world.up().unwrap();
    world.hold(3600).let_go();
    wait_for("the deploy", || world.get("slow.localhost", "/").body == "built slowly\n");

    // A stop before a deploy's switch: its run is not live, and goes on at the next start.
    let late = world.tool("late", "stdlib-http");
    late.edit("app.py", "def main():", "def main():\n    __import__(\"time\").sleep(4)");
    let push = late.push_command("main").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the deploy", || late.cli(&["runs", "show", "1"]).text.contains("deploy    running"));
    drop(late);
    world.down().unwrap();
    let (text, status) = ended(push);
    assert!(status == Some(1) && text.contains("goes on without you") && !text.contains(" live "), "{text}");
    world.up().unwrap();
    wait_for("its end", || world.cli(&["--tool", "late", "runs", "show", "1"]).text.contains("run 1 · live"));
    assert_eq!(world.get("late.localhost", "/").body, "hello from stdlib-http\n");
    assert_eq!(world.cli(&["--tool", "late", "stop"]).status, 0);
    wait_for("its copy's end", || world.shims().len() == 2);

    let shims = world.shims();
    world.kill_starter().unwrap();
    assert_eq!(world.shims(), shims, "tools go on without the platform");
    world.up().unwrap();
    wait_for("both pages", || {
        world.try_get("steady.localhost", "/").is_some_and(|answer| answer.body.starts_with("steady"))
            && world.get("slow.localhost", "/").body == "built slowly\n"
    });
    assert_eq!(world.shims(), shims, "what ran was taken over, not started anew");

    world.lose_power().unwrap();
    world.up().unwrap();
    wait_for("both pages", || {
        world.get("steady.localhost", "/").body.starts_with("steady")
            && world.get("slow.localhost", "/").body == "built slowly\n"
    });
    wait_for("the end of what was left", || fs::read_dir(world.data.join("sandboxes")).unwrap().count() == 2);
}
