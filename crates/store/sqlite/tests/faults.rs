//! A disk that is full, a lock that somebody else holds, pages that were overwritten: each is told as what it is,
//! nothing that was acknowledged is lost, and when the fault goes away the same store goes on.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use model::{
    Actor, PushId, Timestamp, ToolId, UserId,
    run::{Lane, OnNewPush, Outcome, RunState},
};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use store::{
    Beat, Claiming, NewPush, NewTool, Queue as _, Recorded, Runs as _, StoreError, Tools as _, Users as _,
};
use windlass_store_sqlite::Sqlite;

/// Set in the child of the full-disk test: a small file system of its own.
const SMALL_DISK: &str = "WINDLASS_TEST_SMALL_DISK";
const LEASE: Duration = Duration::from_secs(30);

async fn tool(store: &Sqlite) -> (ToolId, UserId) {
    let by = store.ensure_operator("operator").await.unwrap().id;
    let new = NewTool { name: "wordcount".parse().unwrap(), owner: by };
    (store.create_tool(&new, &Actor::Platform).await.unwrap().id, by)
}

async fn push(store: &Sqlite, (tool, by): (ToolId, UserId)) -> Result<Recorded, StoreError> {
    let id = PushId::new();
    let push = NewPush {
        id,
        tool,
        // Long, so that a small disk is full soon.
        ref_name: format!("refs/heads/{id}-{}", "x".repeat(900)),
        old: None,
        commit: "a".repeat(40),
        by,
        production: false,
        on_new_push: OnNewPush::Supersede,
        lane: Lane::People,
    };
    store.record_push(&push).await
}

fn claiming() -> Claiming<'static> {
    Claiming { worker: "test", now: Timestamp::steady(), lease: LEASE, per_tool: 100, per_machine: 100 }
}

fn done() -> Outcome {
    Outcome::done(serde_json::json!({ "line": "x".repeat(500) }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_writing_alone_and_loses_nothing() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        return fill(Path::new(&disk)).await;
    }
    // A tmpfs of 8 MiB in a mount namespace of the child's own: gone with it, whatever happens.
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$1\" && exec \"$2\" --exact a_full_disk_stops_writing_alone_and_loses_nothing";
    let child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .env(SMALL_DISK, directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

async fn fill(disk: &Path) {
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0; 1024 * 1024]).unwrap();
    let store = Sqlite::open(&disk.join("state.sqlite")).await.unwrap();
    let tool = tool(&store).await;
    push(&store, tool).await.unwrap();
    let step = store.claim_step(&claiming()).await.unwrap().unwrap();
    let mut acknowledged = 1;
    let error = loop {
        match push(&store, tool).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the disk that holds the state store is full; free some space and try again"
    );
    assert!(acknowledged > 20, "the disk was full before the story began");
    // Reading goes on, and what was acknowledged is there; what was not has left nothing.
    let runs = store.runs_of(tool.0, u32::MAX, None).await.unwrap();
    assert_eq!((runs.len(), runs[0].number), (acknowledged, acknowledged as u64));
    for run in &runs {
        assert_eq!(store.steps_of(run.id).await.unwrap().len(), 3);
    }
    let refused = store.finish_step(&step.claim, &done()).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");

    // Room comes back: the claim still holds, its outcome is taken, numbers go on without a gap.
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(store.beat(&step.claim, Timestamp::steady(), LEASE).await.unwrap(), Beat::Go);
    store.finish_step(&step.claim, &done()).await.unwrap();
    assert_eq!(push(&store, tool).await.unwrap().number, acknowledged as u64 + 1);
    store.close().await;
    let again = Sqlite::open(&disk.join("state.sqlite")).await.unwrap();
    assert_eq!(again.runs_of(tool.0, u32::MAX, None).await.unwrap().len(), acknowledged + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_another_program_is_waited_for_a_while_and_then_named_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    let tool = tool(&store).await;
    let first = push(&store, tool).await.unwrap();
    let step = store.claim_step(&claiming()).await.unwrap().unwrap();

    // A database shell that somebody left open in the middle of a transaction.
    let lock = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); \
                c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()";
    let mut shell = Command::new("python3")
        .args(["-c", lock])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line)
        .unwrap();
    assert_eq!(line, "locked\n");
    let began = Instant::now();
    let error = push(&store, tool).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked), "{error:?}");
    assert!(error.to_string().contains("locked by another program; end it"), "{error}");
    assert!(began.elapsed() >= Duration::from_secs(4), "it was not waited for");
    assert_eq!(store.run(first.run).await.unwrap().state, RunState::Running, "reading goes on");

    drop(shell.stdin.take());
    shell.wait().unwrap();
    store.finish_step(&step.claim, &done()).await.unwrap();
    assert_eq!(push(&store, tool).await.unwrap().number, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_overwritten_under_a_running_store_are_called_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    let (tool, by) = tool(&store).await;
    // Many more pages of rows than of schema, which every migration makes longer.
    for _ in 0..500 {
        push(&store, (tool, by)).await.unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    // The schema stays readable; tables and indexes do not.
    bytes[pages / 2 * 4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    let read = store.runs_of(tool, u32::MAX, None).await;
    let written = push(&store, (tool, by)).await;
    let errors = [read.err(), written.err()];
    assert!(errors.iter().flatten().count() > 0, "nothing noticed");
    for error in errors.into_iter().flatten() {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().ends_with("stop the platform and restore the last backup"), "{error}");
    }
}
