//! The verbs about tools, from a signed-in machine.

use crate::desk::Desk;
use model::{LogStream, Role};
use std::{fs, pin::pin, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_made_found_by_its_remote_and_deleted() {
    let desk = Desk::signed_in().await;
    let created = desk.windlass(&["tools", "create", "wordcount"]).await.ok();
    assert!(
        created.out.contains("git remote add windlass http://localhost:8080/git/wordcount.git"),
        "{created:?}"
    );
    let listed = desk.windlass(&["tools", "list"]).await.ok();
    assert!(listed.out.contains("wordcount") && listed.out.contains("owner"), "{listed:?}");

    let lost = desk.windlass(&["status"]).await;
    assert!(lost.status == 2 && lost.err.contains("which tool?"), "{lost:?}");
    desk.git(&["init", "--quiet"], "").await.ok();
    let remote = format!("{}/git/wordcount.git", desk.url);
    desk.git(&["remote", "add", "windlass", &remote], "").await.ok();
    let status = desk.windlass(&["status"]).await.ok();
    assert!(status.out.starts_with("wordcount · empty · http://wordcount.localhost:8080/"), "{status:?}");

    let kept = desk.windlass(&["tools", "delete", "wordcount"]).await;
    assert!(kept.status == 2 && kept.err.contains("--yes"), "{kept:?}");
    desk.windlass(&["tools", "delete", "wordcount", "--yes"]).await.ok();
    assert_eq!(desk.windlass(&["status"]).await.status, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_production_branch_of_the_remotes_tool_is_set_and_shown() {
    let desk = Desk::signed_in().await;
    desk.windlass(&["tools", "create", "shop"]).await.ok();
    desk.git(&["init", "--quiet"], "").await.ok();
    let remote = format!("{}/git/shop.git", desk.url);
    desk.git(&["remote", "add", "windlass", &remote], "").await.ok();
    let set = desk.windlass(&["tools", "set", "--production-branch", "live"]).await.ok();
    assert_eq!(set.out, "the next push of live to shop is deployed\n");
    let status = desk.windlass(&["status"]).await.ok();
    assert!(status.out.contains("\n  deploys   pushes of live\n"), "{}", status.out);

    let json = ["tools", "set", "--production-branch", "next/7", "--tool", "shop", "--json"];
    assert_eq!(desk.windlass(&json).await.ok().json()["production_branch"], "next/7");
    let refused = desk.windlass(&["tools", "set", "--production-branch", "two words"]).await;
    assert!(refused.status == 2 && refused.err.contains("cannot be a branch's name"), "{refused:?}");
    assert_eq!(desk.windlass(&["tools", "set"]).await.status, 2, "nothing to set");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_pushes_queue_when_told_to_and_a_run_is_tried_again() {
    let desk = Desk::signed_in().await;
    desk.windlass(&["tools", "create", "shop"]).await.ok();
    let world = &desk.world;
    let commit = world.commit(world.tool_id("shop").await);
    let set = async |rule| desk.windlass(&["tools", "set", "--tool", "shop", "--on-new-push", rule]).await;
    assert_eq!(set("queue").await.ok().out, "a new push to shop waits for earlier runs of its branch\n");
    assert!(
        desk.windlass(&["status", "--tool", "shop"]).await.ok().out.contains("  queues    a new push waits")
    );
    assert_eq!(set("default").await.ok().out, "a new push to shop does what the platform is set to\n");
    assert_eq!(set("sometimes").await.status, 2);

    let name = "refs/heads/main".into();
    let pushed = app::pushes::PushedRef { name, old: None, new: Some(commit) };
    for _ in 0..2 {
        world.app.record_push(&world.operator, "shop", model::PushId::new(), &pushed).await.unwrap();
    }
    let shown = desk.windlass(&["runs", "show", "1", "--tool", "shop"]).await.ok().out;
    assert!(shown.starts_with("run 1 · superseded by run 2 · main"), "{shown}");
    let open = desk.windlass(&["runs", "retry", "2", "--tool", "shop"]).await;
    assert!(open.status == 6 && open.err.contains("`windlass runs cancel NUMBER`"), "{open:?}");
    let again = desk.windlass(&["runs", "retry", "1", "--tool", "shop"]).await.ok().out;
    assert!(
        again.starts_with("run 3 tries run 1 again\n") && again.contains("runs show 3 --follow"),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_statuses_tell_what_kind_of_failure_it_was() {
    let desk = Desk::signed_in().await;
    let (_, _) = desk.world.tool("shop").await;
    let status = |arguments: &'static [&'static str]| {
        let desk = &desk;
        async move { desk.windlass(arguments).await.status }
    };
    assert_eq!(status(&["status", "--tool", "ghost"]).await, 5);
    assert_eq!(status(&["status", "--tool", "No Name"]).await, 2);
    assert_eq!(status(&["tools", "create", "shop"]).await, 6);
    assert_eq!(status(&["tools", "create", "git"]).await, 2);
    assert_eq!(status(&["stop", "--tool", "shop"]).await, 6);
    assert_eq!(status(&["runs", "show", "many"]).await, 2);
    assert_eq!(status(&["status", "--server", "http://localhost:1", "--tool", "shop"]).await, 3);
    assert_eq!(status(&["paint"]).await, 2);
    let problem = desk.windlass(&["status", "--tool", "ghost", "--json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&problem.err).unwrap()["id"], "tool-unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_releases_are_shown_in_words_and_as_json() {
    let desk = Desk::signed_in().await;
    let (owner, _) = desk.world.tool("shop").await;
    let run = desk.world.push(&owner, "shop").await;
    desk.world.deploy(run).await;
    desk.world.push(&owner, "shop").await;

    let list = desk.windlass(&["runs", "list", "--tool", "shop"]).await.ok();
    assert!(list.out.starts_with("RUN  STATE   BRANCH  COMMIT   BY"), "{}", list.out);
    assert_eq!(list.out.lines().count(), 3);
    let show = desk.windlass(&["runs", "show", "1", "-t", "shop"]).await.ok();
    assert!(show.out.starts_with("run 1 · live · main 3f3f3f3 by shop · "), "{}", show.out);
    assert!(
        show.out.contains("  build     done      ") && show.out.contains("build went well"),
        "{}",
        show.out
    );

    let cancelled = desk.windlass(&["runs", "cancel", "2", "--tool", "shop"]).await.ok();
    assert_eq!(cancelled.out, "run 2 has ended\n");
    assert_eq!(desk.windlass(&["runs", "cancel", "2", "--tool", "shop"]).await.status, 6);
    assert_eq!(
        desk.windlass(&["runs", "show", "2", "--follow", "--tool", "shop"]).await.status,
        1,
        "not good"
    );
    assert_eq!(desk.windlass(&["runs", "show", "1", "--follow", "--tool", "shop"]).await.status, 0);

    let releases = desk.windlass(&["releases", "--tool", "shop"]).await.ok();
    assert!(releases.out.contains("v1       live   1    3f3f3f3  sha256:070707070707"), "{}", releases.out);
    let json = desk.windlass(&["releases", "--tool", "shop", "--json"]).await.ok().json();
    assert_eq!(json["releases"][0]["current"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_stopped_started_and_restarted() {
    let desk = Desk::signed_in().await;
    let (owner, _) = desk.world.tool("shop").await;
    let run = desk.world.push(&owner, "shop").await;
    desk.world.deploy(run).await;
    for (verb, said) in
        [("stop", "stopping shop\n"), ("start", "starting shop\n"), ("restart", "restarting shop\n")]
    {
        assert_eq!(desk.windlass(&[verb, "--tool", "shop"]).await.ok().out, said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_brings_in_people_and_an_owner_shares_a_tool() {
    let desk = Desk::signed_in().await;
    desk.windlass(&["tools", "create", "shop"]).await.ok();
    let created = desk.windlass(&["users", "create", "ada", "--json"]).await.ok().json();
    let token = created["token"].as_str().unwrap();
    desk.windlass(&["members", "add", "ada", "--role", "reader", "-t", "shop"]).await.ok();
    let actor = desk.world.app.identify(Some(token)).await.unwrap();
    assert_eq!(desk.world.app.tools(&actor).await.unwrap()[0].role, Some(Role::Reader));
    let members = desk.windlass(&["members", "list", "-t", "shop"]).await.ok();
    assert!(members.out.contains("ada       reader"), "{}", members.out);
    desk.windlass(&["members", "remove", "ada", "-t", "shop"]).await.ok();
    assert!(desk.world.app.tools(&actor).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_printed_cleaned_and_followed() {
    let desk = Desk::signed_in().await;
    let (_, tool) = desk.world.tool("shop").await;
    let stream: LogStream = "process/web.1".parse().unwrap();
    let path = desk.world.paths.log(tool, &stream);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = logs::Writer::open(&path, u64::MAX).unwrap();
    writer.row(logs::Stream::Out, logs::Flags::NONE, b"hello \x1b[2Jthere").unwrap();
    let printed = desk.windlass(&["logs", "--tool", "shop"]).await.ok();
    assert!(printed.out.ends_with(" web.1     hello there\n"), "{:?}", printed.out);

    // It follows until it is ended, here by nobody's reading any further.
    let command = format!("{} logs -f -n 0 -t shop | head -n 1", env!("CARGO_BIN_EXE_windlass"));
    let words = ["-c", &command];
    let mut follower = pin!(desk.run("sh", &words, &[], ""));
    let ran = loop {
        tokio::select! {
            ran = &mut follower => break ran,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                writer.row(logs::Stream::Err, logs::Flags::NONE, b"later").unwrap();
            }
        }
    };
    assert!(ran.out.ends_with(" web.1     later\n") && !ran.out.contains("hello"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_judges_this_machine_without_any_platform() {
    let desk = Desk::new().await;
    let judged = desk.windlass(&["doctor", "--json"]).await.json();
    assert!(judged["checks"].as_array().unwrap().iter().any(|check| check["name"] == "runtime"), "{judged}");
}
