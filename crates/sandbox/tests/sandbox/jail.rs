//! Landlock around git, with its twin: the same git as the same user without it.

use crate::workers::commit_in;
use crate::world::{World, output, place, work};
use model::ToolId;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use windlass_sandbox::request::{GitService, Worker};

async fn repository(world: &World) -> ToolId {
    let tool = ToolId::new();
    let init = Worker::Git { tool, service: GitService::Init, config: Vec::new(), env: Vec::new() };
    let (status, _, err) = work(world, init, "").await;
    assert_eq!(status, 0, "{err}");
    tool
}

/// What git says in a repository as the user that runs it for the platform, without the jail.
fn at_large(world: &World, tool: ToolId, env: &[(String, String)], words: &[&str]) -> String {
    let output = Command::new("/usr/bin/git")
        .args(words)
        .current_dir(world.paths.repository(tool))
        .env_clear()
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(env.iter().cloned())
        .uid(world.instance.git_id())
        .gid(world.instance.serve_id())
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_hook_reaches_its_repository_and_our_socket_and_without_the_jail_the_host_and_a_neighbour() {
    let world = World::new().await;
    let (tool, neighbour) = (repository(&world).await, repository(&world).await);
    let hooks = world.paths.run.join("hooks");
    fs::create_dir(&hooks).unwrap();
    symlink(world.program(), hooks.join("reference-transaction")).unwrap();
    let socket = world.paths.run.join("hook.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    chown(&socket, Some(world.instance.git_id()), None).unwrap();
    let outside = place();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(outside.path().join("secret"), "the host's own").unwrap();
    let pair = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
    let config = vec![pair("core.hooksPath", &hooks)];
    let env = vec![
        pair("WINDLASS_HOOK_SOCKET", &socket),
        pair("WINDLASS_OUTSIDE", outside.path()),
        pair("WINDLASS_NEIGHBOUR", &world.paths.repository(neighbour)),
    ];
    let (name, none) = ("refs/heads/none", "0".repeat(40));
    let service = GitService::UpdateRef { name: name.to_owned(), new: none.clone(), old: none.clone() };
    let in_jail = Worker::Git { tool, service, config, env: env.clone() };
    let (_, out, err) = work(&world, in_jail, "").await;
    let setting = format!("core.hooksPath={}", hooks.display());
    let words = ["-c", &setting, "update-ref", "--no-deref", "--", name, &none, &none];
    let (with, without) = (out + &err, at_large(&world, tool, &env, &words));
    for open_to_both in ["read /usr/bin/git", "read HEAD", "write objects", "hook socket"] {
        for said in [&with, &without] {
            assert!(said.contains(&format!("{open_to_both}: true")), "{open_to_both}: {said}");
        }
    }
    for jailed in [
        "read /etc/passwd",
        "read /proc/self/status",
        "read outside",
        "read neighbour",
        "write outside",
        "write neighbour",
    ] {
        assert!(with.contains(&format!("{jailed}: false")), "{jailed}: {with}");
        assert!(without.contains(&format!("{jailed}: true")), "{jailed}: {without}");
    }
    assert!(with.contains("list ..: false"), "{with}");
    assert!(with.contains("tcp: Some(PermissionDenied)"), "{with}");
    assert!(without.contains("tcp: Some(ConnectionRefused)"), "{without}");
}

#[tokio::test]
async fn alternates_lead_to_no_neighbours_objects_and_without_the_jail_they_do() {
    let world = World::new().await;
    let (tool, neighbour) = (repository(&world).await, repository(&world).await);
    let commit = commit_in(&world, neighbour);
    let alternates = world.paths.repository(tool).join("objects/info/alternates");
    fs::write(alternates, world.paths.repository(neighbour).join("objects").display().to_string()).unwrap();
    let service = GitService::ListTree { commit: commit.clone() };
    let in_jail = Worker::Git { tool, service, config: Vec::new(), env: Vec::new() };
    let (status, with, err) = work(&world, in_jail, "").await;
    assert_ne!(status, 0, "{with}");
    assert!(!with.contains("app.py") && err.contains("unable to"), "{with}{err}");
    let without = at_large(&world, tool, &[], &["ls-tree", "-r", "--full-tree", &commit]);
    assert!(without.contains("app.py"), "{without}");
}

#[tokio::test]
async fn git_writes_no_file_above_its_limit_and_without_the_limit_it_does() {
    for (limit, collected) in [(50_000, false), (1 << 30, true)] {
        let world = World::with_git_file_bytes(limit).await;
        let tool = repository(&world).await;
        let repository = world.paths.repository(tool);
        let tree = place();
        let noise = fs::read(world.program()).unwrap();
        fs::write(tree.path().join("file"), &noise[..1_000_000]).unwrap();
        let git = |words: &[&str]| {
            let directory = format!("--git-dir={}", repository.display());
            let work = format!("--work-tree={}", tree.path().display());
            let who = ["-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@localhost"];
            output("/usr/bin/git", &[&who[..], &[&directory, &work], words].concat())
        };
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "one"]);
        let owner = format!("{}:{}", world.instance.git_id(), world.instance.serve_id());
        output("/usr/bin/chown", &["-R", &owner, repository.to_str().unwrap()]);
        let collect = GitService::Collect { keep_days: 1 };
        let collect = Worker::Git { tool, service: collect, config: Vec::new(), env: Vec::new() };
        let (status, out, err) = work(&world, collect, "").await;
        assert_eq!(status == 0, collected, "at {limit}: {status} {out}{err}");
    }
}
