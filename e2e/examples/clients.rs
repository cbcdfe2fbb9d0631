//! `make clients`: docker, skopeo and crane pull what is deployed by the digest that `windlass releases` prints, run it,
//! push beside it, and read why they are refused. Not part of the default lane: it needs a docker daemon.

#![expect(clippy::unwrap_used, reason = "a story that panics is a story that failed")]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use testkit::World;

/// A docker daemon with roots of its own, without a bridge and without rules.
struct Docker {
    daemon: Child,
    root: PathBuf,
}

impl Docker {
    fn start(root: PathBuf) -> Self {
        fs::create_dir_all(&root).unwrap();
        let log = fs::File::create(root.join("log")).unwrap();
        let daemon = Command::new("dockerd")
            .arg("--data-root")
            .arg(root.join("data"))
            .arg("--exec-root")
            .arg(root.join("exec"))
            .arg("--pidfile")
            .arg(root.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", root.join("socket").display()))
            .args(["--iptables=false", "--ip-forward=false", "--bridge=none", "--storage-driver=vfs"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("dockerd (tools/clients.sh installs it)");
        let docker = Self { daemon, root };
        let until = Instant::now() + Duration::from_secs(60);
        while !docker.ask(&["version"]).0 {
            assert!(Instant::now() < until, "{}", fs::read_to_string(docker.root.join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(200));
        }
        docker
    }

    fn ask(&self, arguments: &[&str]) -> (bool, String) {
        let socket = format!("unix://{}", self.root.join("socket").display());
        ran(Command::new("docker").env("HOME", &self.root).args(["--host", &socket]).args(arguments))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It ends its containers and containerd.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
        // What it leaves mounted.
        let namespace = self.root.join("exec/netns/default");
        let _ = rustix::mount::unmount(&namespace, rustix::mount::UnmountFlags::DETACH);
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn ran(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[track_caller]
fn did((done, text): (bool, String)) -> String {
    assert!(done, "{text}");
    text
}

#[track_caller]
fn says((done, text): (bool, String), words: &str) {
    assert!(!done && text.contains(words), "`{words}` is not in:\n{text}");
    println!("  refused: {}", text.trim());
}

fn main() {
    let world = World::new();
    let docker = Docker::start(world.data.join("docker"));
    let tool = world.tool("hello", "stdlib-http");
    tool.push().succeeded();
    let page = tool.get("/").body;
    let releases = tool.cli(&["releases"]).text;
    let address = releases.split_whitespace().find(|word| word.contains("/hello/release@sha256:"));
    let address = address.expect("an address in windlass releases").to_owned();
    let host = format!("localhost:{}", world.port);
    println!("deployed: {address}");

    // docker
    says(docker.ask(&["pull", &address]), "sign in with a token of this platform");
    did(docker.ask(&["login", "--username", "anyone", "--password", world.token(), &host]));
    did(docker.ask(&["pull", &address]));
    let port = "18777";
    let run = ["run", "--detach", "--network=host", "--env", "PORT=18777", "--name", "pulled", &address];
    did(docker.ask(&run));
    let until = Instant::now() + Duration::from_secs(60);
    let url = format!("http://127.0.0.1:{port}/");
    loop {
        let (answered, body) = ran(Command::new("curl").args(["--silent", "--fail", "--noproxy", "*", &url]));
        if answered {
            assert_eq!(body, page, "the pulled image answers what the platform serves");
            break;
        }
        assert!(Instant::now() < until, "{}", docker.ask(&["logs", "pulled"]).1);
        std::thread::sleep(Duration::from_millis(200));
    }
    did(docker.ask(&["rm", "--force", "pulled"]));
    println!("docker pulled it by digest, and the container answers the same page");
    let (mine, theirs) = (format!("{host}/hello/import/mine:one"), format!("{host}/hello/release:mine"));
    did(docker.ask(&["tag", &address, &mine]));
    did(docker.ask(&["tag", &address, &theirs]));
    did(docker.ask(&["push", &mine]));
    says(docker.ask(&["push", &theirs]), "written by builds alone");
    did(docker.ask(&["rmi", "--force", &mine, &theirs, &address]));
    did(docker.ask(&["pull", &mine]));
    println!("docker pushed it beside, and pulled it back");

    // crane
    let crane = |arguments: &[&str]| ran(Command::new("crane").env("HOME", &world.data).args(arguments));
    did(crane(&["auth", "login", &host, "--username", "anyone", "--password", world.token()]));
    let digest = did(crane(&["digest", &address]));
    assert!(address.ends_with(digest.trim()), "{digest}");
    did(crane(&["pull", &address, &world.data.join("crane.tar").display().to_string()]));
    did(crane(&["copy", &address, &format!("{host}/hello/import/crane:one")]));
    assert!(did(crane(&["ls", &format!("{host}/hello/release")])).contains("v1"));
    did(crane(&["validate", "--remote", &format!("{host}/hello/import/crane:one")]));
    println!("crane pulled, copied and validated it");

    // skopeo
    let skopeo = |arguments: &[&str]| ran(Command::new("skopeo").env("HOME", &world.data).args(arguments));
    let (source, kept) =
        (format!("docker://{address}"), format!("dir:{}", world.data.join("kept").display()));
    let copy = ["copy", "--src-tls-verify=false", "--src-no-creds", &source, &kept];
    says(skopeo(&copy), "sign in with a token of this platform");
    let credentials = format!("anyone:{}", world.token());
    did(skopeo(&["copy", "--src-tls-verify=false", "--src-creds", &credentials, &source, &kept]));
    println!("skopeo copied it, each blob by its digest");

    // Over quota, as each client tells it.
    assert_eq!(world.cli(&["tools", "set", "--quota-mebibytes", "0", "--tool", "hello"]).status, 0);
    let (big, archive) = (world.data.join("big"), world.data.join("big.tar"));
    let fresh = "dd if=/dev/urandom of=\"$1\" bs=1M count=3 status=none && tar -cf \"$2\" -C / \"${1#/}\"";
    did(ran(Command::new("sh").args(["-c", fresh, "sh"]).args([&big, &archive])));
    let full = format!("{host}/hello/import/full:one");
    says(crane(&["append", "--new_layer", &archive.display().to_string(), "--new_tag", &full]), "is full");
    did(docker.ask(&["import", &archive.display().to_string(), &full]));
    says(docker.ask(&["push", &full]), "is full");
    println!("clients: 3 passed, 0 failed");
}
