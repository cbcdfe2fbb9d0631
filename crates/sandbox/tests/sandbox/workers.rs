//! What workers can see and do.

use crate::world::{World, null, output, work};
use model::ToolId;
use model::instance::RangeIndex;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};
use windlass_sandbox::client::HelperError;
use windlass_sandbox::request::{GitService, Worker};

#[tokio::test]
async fn a_worker_of_the_store_sees_the_store_and_nothing_else_as_root_of_its_range() {
    let world = World::new().await;
    let (status, out, err) = work(&world, Worker::UnpackLayer, "a tar").await;
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("stdin a tar"), "{out}");
    assert!(out.contains("Uid:\t0\t0") && out.contains("NoNewPrivs:\t1"), "{out}");
    for seen in ["/data ", "/proc ", "/data/layers 0:0", "/data/blobs 0:0", "/data/scratch 0:0", "no /view"] {
        assert!(out.contains(seen), "{seen}: {out}");
    }
    for hidden in ["/etc", "/usr", "/root", "/data/git", "/data/sandboxes"] {
        assert!(!out.contains(&format!("{hidden} ")), "{hidden}: {out}");
    }
}

#[tokio::test]
async fn an_export_sees_what_the_build_saw_with_the_stores_owners_and_renames_told_truly() {
    let world = World::new().await;
    let layer = format!("sha256:{}", "8".repeat(64)).parse().unwrap();
    world.publish(&layer, |tree| {
        std::fs::create_dir_all(tree.join("workspace/old")).unwrap();
        std::fs::write(tree.join("workspace/old/file"), "kept").unwrap();
    });
    let user = world.instance.first_id(RangeIndex::STORE) + 1000;
    for path in ["workspace", "workspace/old", "workspace/old/file"] {
        std::os::unix::fs::chown(world.tree(&layer).join(path), Some(user), Some(user)).unwrap();
    }
    let mut spec = World::build(&["rename", "/workspace/old", "/workspace/new"]);
    spec.layers.push(windlass_sandbox::request::LayerRef::Published(layer));
    let export = Worker::Export { sandbox: spec.id.clone() };
    world.helper.create(&spec, world.log(&spec.id)).await.unwrap();
    let early = world.helper.worker(export.clone(), null(), null(), null()).await.unwrap().status().await;
    assert!(matches!(&early, Err(HelperError::Refused { id, .. }) if id == "export-refused"), "{early:?}");
    world.helper.start(&spec.id).await.unwrap();
    world.helper.wait(&spec.id).await.unwrap();
    let (status, out, err) = work(&world, export, "").await;
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("/view/probe 0:0"), "{out}");
    assert!(out.contains("/view/workspace/new 1000:1000"), "{out}");
    assert!(
        out.contains("/view/workspace/new/file 1000:1000") && !out.contains("/view/workspace/old "),
        "{out}"
    );
    assert!(out.contains("/upper/workspace 1000:1000"), "{out}");
    assert!(out.contains("write /view: Read-only"), "{out}");
}

#[tokio::test]
async fn git_works_in_its_repository_as_its_own_user_and_nowhere_else() {
    let world = World::new().await;
    let tool = ToolId::new();
    let git = |service| Worker::Git { tool, service, config: Vec::new(), env: Vec::new() };
    let (status, _, err) = work(&world, git(GitService::Init), "").await;
    assert_eq!((status, err.as_str()), (0, ""));
    let repository = world.paths.repository(tool);
    let data = std::fs::metadata(repository.join("HEAD")).unwrap();
    assert_eq!((data.uid(), data.gid()), (world.instance.git_id(), world.instance.serve_id()));
    assert_eq!(data.mode() & 0o007, 0, "{:o}", data.mode());
    let (status, out, err) = work(&world, git(GitService::ReceivePack { advertise: true }), "").await;
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains("capabilities^{}"), "{out}");
    let none = "0".repeat(40);
    let missing =
        GitService::UpdateRef { name: "refs/heads/main".to_owned(), new: "1".repeat(40), old: none };
    let (status, _, err) = work(&world, git(missing), "").await;
    assert_ne!(status, 0);
    assert!(err.contains("nonexistent object"), "{err}");
    world.helper.remove_repository(tool).await.unwrap();
    assert!(!repository.exists());
}

/// A commit of one file, `app.py`, among the objects of a tool's repository; no ref leads to it.
pub(crate) fn commit_in(world: &World, tool: ToolId) -> String {
    let repository = world.paths.repository(tool);
    let place = tempfile::tempdir().unwrap();
    let source = place.path().to_str().unwrap();
    output("/usr/bin/git", &["init", "-q", "-b", "main", source]);
    std::fs::write(place.path().join("app.py"), "print(1)\n").unwrap();
    output("/usr/bin/git", &["-C", source, "add", "."]);
    let author = ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "one"];
    output("/usr/bin/git", &[&["-C", source][..], &author].concat());
    let commit = output("/usr/bin/git", &["-C", source, "rev-parse", "HEAD"]).trim().to_owned();
    output("/usr/bin/cp", &["-r", &format!("{source}/.git/objects"), repository.to_str().unwrap()]);
    let owner = format!("{}:{}", world.instance.git_id(), world.instance.serve_id());
    output("/usr/bin/chown", &["-R", &owner, repository.to_str().unwrap()]);
    commit
}

#[tokio::test]
async fn a_commit_in_the_repository_is_archived_and_moved_by_id() {
    let world = World::new().await;
    let tool = ToolId::new();
    let git = |service| Worker::Git { tool, service, config: Vec::new(), env: Vec::new() };
    work(&world, git(GitService::Init), "").await;
    let commit = commit_in(&world, tool);
    let update = GitService::UpdateRef {
        name: "refs/heads/main".to_owned(),
        new: commit.clone(),
        old: "0".repeat(40),
    };
    let (status, _, err) = work(&world, git(update), "").await;
    assert_eq!((status, err.as_str()), (0, ""));
    let (status, out, err) = work(&world, git(GitService::ListTree { commit: commit.clone() }), "").await;
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains("app.py"), "{out}");
    let (status, out, err) = work(&world, git(GitService::Archive { commit }), "").await;
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.starts_with("pax_global_header") && out.contains("workspace/app.py"), "{out}");
}

#[tokio::test]
async fn a_worker_ends_when_nobody_waits_for_it_any_more_and_what_it_was_making_goes() {
    let world = World::new().await;
    let (reader, writer) = std::io::pipe().unwrap();
    let place = tempfile::tempdir().unwrap();
    let open = |name: &str| File::create(place.path().join(name)).unwrap().into();
    // It reads from a pipe that is never closed while this test holds the other end.
    let worker =
        world.helper.worker(Worker::UnpackLayer, reader.into(), open("out"), open("err")).await.unwrap();
    let began = Instant::now();
    while !std::fs::read_to_string(place.path().join("out")).unwrap().contains("no /view") {
        assert!(began.elapsed() < Duration::from_secs(60), "the worker never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let half_made = world.paths.layers().join(".new/half-made");
    std::fs::create_dir(&half_made).unwrap();
    drop(worker);
    let mut pipe = writer;
    while std::io::Write::write_all(&mut pipe, b"x").is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "the worker still reads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while half_made.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "what it was making is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_machine_is_described() {
    let world = World::new().await;
    let facts = world.helper.facts().await.unwrap();
    assert_eq!(facts.instance, world.instance);
    assert!(facts.runtime_version.starts_with(|letter: char| letter.is_ascii_digit()), "{facts:?}");
    assert!(["v1", "v2"].contains(&facts.cgroup.as_str()), "{facts:?}");
}
