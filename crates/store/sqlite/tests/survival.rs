//! What was acknowledged is there after a kill -9, and what cannot be opened says why.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use model::{
    Actor, PushId, Timestamp,
    run::{Lane, OnNewPush, RunState},
};
use std::{
    future::poll_fn,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    task::Poll,
    time::Duration,
};
use store::{Claiming, NewPush, NewTool, Queue as _, Runs as _, StoreError, Tools as _, Users as _};
use windlass_store_sqlite::Sqlite;

/// Set in the child of the kill test: the file it shall fill.
const FILE: &str = "WINDLASS_TEST_DATABASE";

async fn open(path: &Path) -> Sqlite {
    Sqlite::open(path).await.unwrap()
}

/// Prints each push number as soon as it was acknowledged, for ever.
async fn fill(path: &Path) {
    let store = open(path).await;
    let by = store.ensure_operator("operator").await.unwrap().id;
    let new = NewTool { name: "wordcount".parse().unwrap(), owner: by };
    let tool = store.create_tool(&new, &Actor::Platform).await.unwrap().id;
    loop {
        let (ref_name, commit) = ("refs/heads/main".to_owned(), "a".repeat(40));
        let push = NewPush {
            id: PushId::new(),
            tool,
            ref_name,
            old: None,
            commit,
            by,
            production: true,
            on_new_push: OnNewPush::Supersede,
            lane: Lane::People,
        };
        println!("acknowledged {}", store.record_push(&push).await.unwrap().number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_push_is_there_after_a_kill_and_the_numbers_go_on() {
    if let Some(path) = std::env::var_os(FILE) {
        return fill(Path::new(&path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "every_acknowledged_push_is_there_after_a_kill_and_the_numbers_go_on",
            "--nocapture",
        ])
        .env(FILE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The test harness prints lines of its own.
        let Ok(Some(number)) = line.map(|line| line.split_once("acknowledged ").map(|(_, n)| n.to_owned()))
        else {
            continue;
        };
        acknowledged = number.parse::<u64>().unwrap();
        if acknowledged == 100 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged >= 100);

    let store = open(&path).await;
    let tool = store.tools().await.unwrap().remove(0);
    let runs = store.runs_of(tool.id, u32::MAX, None).await.unwrap();
    let last = runs[0].number;
    assert!(last >= acknowledged, "push {acknowledged} was acknowledged, {last} is the last on disk");
    assert_eq!(runs.len() as u64, last, "no number is missing");
    assert_eq!(runs[0].state, RunState::Queued);
    assert!(runs[1..].iter().all(|run| run.state == RunState::Superseded), "half a push was written");
    store.cancel_run(runs[0].id, &Actor::Platform).await.unwrap();
    let again = store.rerun(runs[0].id, runs[0].by, OnNewPush::Supersede).await.unwrap();
    assert_eq!(again.number, last + 1);
}

#[tokio::test]
async fn claims_and_states_are_there_when_the_file_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let store = open(&path).await;
    let by = store.ensure_operator("operator").await.unwrap().id;
    let new = NewTool { name: "wordcount".parse().unwrap(), owner: by };
    let tool = store.create_tool(&new, &Actor::Platform).await.unwrap();
    let (ref_name, commit) = ("refs/heads/main".to_owned(), "a".repeat(40));
    let push = NewPush {
        id: PushId::new(),
        tool: tool.id,
        ref_name,
        old: None,
        commit,
        by,
        production: true,
        on_new_push: OnNewPush::Supersede,
        lane: Lane::People,
    };
    let run = store.record_push(&push).await.unwrap().run;
    let lease = Duration::from_secs(30);
    let claiming = Claiming { worker: "before", now: Timestamp::now(), lease, per_tool: 1, per_machine: 1 };
    let step = store.claim_step(&claiming).await.unwrap().unwrap();
    store.close().await;

    let store = open(&path).await;
    assert_eq!(store.tools().await.unwrap(), [tool]);
    assert_eq!(store.run(run).await.unwrap().state, RunState::Running);
    assert!(store.claim_step(&claiming).await.unwrap().is_none(), "the claim of before the restart holds");
    store.hand_back(&step.claim).await.unwrap();
    assert_eq!(store.claim_step(&claiming).await.unwrap().unwrap().claim.step, step.claim.step);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    std::fs::write(&path, "this is a diary, not a database; ".repeat(200)).unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the state store is damaged (file is not a database); stop the platform and restore the last backup"
    );
}

#[tokio::test]
async fn a_file_whose_pages_were_overwritten_is_called_damaged_when_they_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let store = open(&path).await;
    for name in 0..200 {
        store.create_user(&format!("user-{name}"), &Actor::Platform).await.unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // The header and the schema's first page stay.
    bytes[3 * 4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = match Sqlite::open(&path).await {
        Ok(store) => store.users().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named_as_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/state.sqlite");
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::CannotOpen { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

/// Drops the future when it still waits after so many polls: what a client that hangs up does to a verb.
async fn patient_for<T>(polls: u32, verb: impl Future<Output = T>) -> Option<T> {
    let mut verb = std::pin::pin!(verb);
    let mut left = polls;
    poll_fn(|context| match verb.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn callers_who_go_away_in_the_middle_leave_whole_rows_and_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("state.sqlite")).await;
    let by = store.ensure_operator("operator").await.unwrap().id;
    let new = NewTool { name: "wordcount".parse().unwrap(), owner: by };
    let tool = store.create_tool(&new, &Actor::Platform).await.unwrap().id;
    let mut gone = 0;
    for round in 0..10 {
        for polls in 0.. {
            let (ref_name, commit) = (format!("refs/heads/{round}-{polls}"), "a".repeat(40));
            let push = NewPush {
                id: PushId::new(),
                tool,
                ref_name,
                old: None,
                commit,
                by,
                production: true,
                on_new_push: OnNewPush::Supersede,
                lane: Lane::People,
            };
            if let Some(recorded) = patient_for(polls, store.record_push(&push)).await {
                recorded.unwrap();
                break;
            }
            gone += 1;
        }
    }
    assert!(gone > 50, "only {gone} went away");
    let runs = store.runs_of(tool, u32::MAX, None).await.unwrap();
    assert!(runs.len() >= 10);
    assert_eq!(runs.len() as u64, runs[0].number, "numbers and rows differ");
    for run in &runs {
        assert_eq!(store.steps_of(run.id).await.unwrap().len(), 5, "half a run was written");
    }
}
