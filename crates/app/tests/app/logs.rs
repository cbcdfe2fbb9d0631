//! Reading streams that are there, that grow, and that begin to exist.

use crate::world::World;
use app::logs::{LogFeed, LogQuery};
use logs::{Flags, Stream, Writer};
use model::{LogStream, Role, ToolId};
use std::time::Duration;

/// Longer than any of these waits takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn writer(world: &World, tool: ToolId, stream: &str) -> Writer {
    let stream: LogStream = stream.parse().unwrap();
    let path = world.paths.log(tool, &stream);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Writer::open(&path, u64::MAX).unwrap()
}

fn say(writer: &mut Writer, text: &str) {
    writer.row(Stream::Out, Flags::NONE, text.as_bytes()).unwrap();
}

async fn next(feed: &mut LogFeed) -> Vec<String> {
    let batch = feed.next(PATIENCE).await.unwrap().unwrap_or_default();
    let text = |line: &app::logs::LogLine| {
        format!("{}: {}", line.stream, String::from_utf8_lossy(&line.entry.row.bytes))
    };
    batch.iter().map(text).collect()
}

async fn all(mut feed: LogFeed) -> Vec<String> {
    let mut rows = Vec::new();
    while let Some(batch) = feed.next(PATIENCE).await.unwrap() {
        rows.extend(batch.iter().map(|line| String::from_utf8_lossy(&line.entry.row.bytes).into_owned()));
    }
    rows
}

#[tokio::test]
async fn what_processes_and_router_wrote_reads_in_the_order_it_was_written() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let query = |process: Option<&str>, newest| LogQuery {
        process: process.map(Into::into),
        newest,
        ..LogQuery::default()
    };
    let read = |query| {
        let (app, owner) = (&world.app, &owner);
        async move { all(app.logs(owner, "shop", query).await.unwrap()).await }
    };
    assert!(read(query(None, 10)).await.is_empty(), "nothing was ever written");

    let (mut web, mut router) = (writer(&world, tool, "process/web.1"), writer(&world, tool, "router"));
    for number in 0..3 {
        say(&mut web, &format!("web {number}"));
        std::thread::sleep(Duration::from_millis(2));
        say(&mut router, &format!("GET {number}"));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(read(query(None, 10)).await, ["web 0", "GET 0", "web 1", "GET 1", "web 2", "GET 2"]);
    assert_eq!(read(query(None, 3)).await, ["GET 1", "web 2", "GET 2"]);
    assert_eq!(read(query(Some("web"), 10)).await, ["web 0", "web 1", "web 2"]);
    assert_eq!(read(query(Some("web.1"), 1)).await, ["web 2"]);
    assert_eq!(read(query(Some("router"), 1)).await, ["GET 2"]);
    assert!(read(query(Some("worker"), 10)).await.is_empty());
    let problem = world.app.logs(&owner, "shop", query(Some("../x"), 10)).await.err().unwrap();
    assert_eq!(problem.status, 422);
}

#[tokio::test]
async fn a_follower_sees_new_rows_and_new_processes_and_takes_up_where_it_stopped() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let mut web = writer(&world, tool, "process/web.1");
    say(&mut web, "before");
    let query = LogQuery { newest: 0, follow: true, ..LogQuery::default() };
    let mut feed = world.app.logs(&owner, "shop", query).await.unwrap();
    assert!(feed.next(Duration::ZERO).await.unwrap().unwrap().is_empty(), "only new rows were asked for");
    say(&mut web, "one");
    assert_eq!(next(&mut feed).await, ["process/web.1: one"]);
    let mut router = writer(&world, tool, "router");
    say(&mut router, "GET /");
    assert_eq!(next(&mut feed).await, ["router: GET /"]);

    let query = LogQuery { cursors: "process/web.1@0".parse().unwrap(), newest: 0, ..LogQuery::default() };
    let rows = all(world.app.logs(&owner, "shop", query).await.unwrap()).await;
    assert_eq!(rows, ["before", "one"], "the stream with a cursor goes on, the other has no newest rows");
}

#[tokio::test]
async fn following_a_run_ends_when_the_run_has_ended_and_not_before() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let run = world.push(&owner, "shop").await;
    let mut plan = writer(&world, tool, "run/1/plan");
    say(&mut plan, "python 3.13");
    let mut feed = world.app.run_log(&owner, "shop", 1, None, 0, true).await.unwrap();
    assert_eq!(next(&mut feed).await, ["run/1/plan: python 3.13"]);
    assert!(feed.next(Duration::ZERO).await.unwrap().unwrap().is_empty());
    let mut build = writer(&world, tool, "run/1/build");
    say(&mut build, "installing");
    world.deploy(run).await;
    assert_eq!(next(&mut feed).await, ["run/1/build: installing"]);
    assert!(feed.next(PATIENCE).await.unwrap().is_none());
}

#[tokio::test]
async fn one_step_reads_from_an_offset_and_a_wrong_offset_is_told() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    world.push(&owner, "shop").await;
    let mut plan = writer(&world, tool, "run/1/plan");
    say(&mut plan, "one");
    let second = std::fs::metadata(world.paths.log(tool, &"run/1/plan".parse().unwrap())).unwrap().len();
    say(&mut plan, "two");
    let read = |step: &'static str, from| world.app.run_log(&owner, "shop", 1, Some(step), from, false);
    assert_eq!(all(read("plan", second).await.unwrap()).await, ["two"]);
    assert!(all(read("build", 0).await.unwrap()).await.is_empty());
    let beyond = read("plan", 10_000).await.unwrap().next(PATIENCE).await.unwrap_err();
    assert_eq!(beyond.id, "log-beyond-end");
    let inside = read("plan", 3).await.unwrap().next(PATIENCE).await.unwrap_err();
    assert_eq!(inside.id, "log-no-row");
    assert_eq!(read("paint", 0).await.err().unwrap().status, 422);
}

#[tokio::test]
async fn a_long_stream_comes_in_parts_and_whole() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    world.push(&owner, "shop").await;
    let mut build = writer(&world, tool, "run/1/build");
    for number in 0..1500 {
        say(&mut build, &number.to_string());
    }
    let rows = all(world.app.run_log(&owner, "shop", 1, None, 0, false).await.unwrap()).await;
    assert_eq!(rows, (0..1500).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn strangers_read_no_log_and_readers_do() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    let eve = world.person("eve").await;
    assert_eq!(world.app.logs(&eve, "shop", LogQuery::default()).await.err().unwrap().status, 404);
    world.app.add_member(&owner, "shop", "eve", Role::Reader).await.unwrap();
    assert!(world.app.logs(&eve, "shop", LogQuery::default()).await.is_ok());
}
