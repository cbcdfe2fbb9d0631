//! Creating, seeing, stopping and deleting tools; their runs and releases.

use crate::world::World;
use app::tools::ToolState;
use model::{Actor, Role, run::RunState};
use store::{AuditOutcome, Wanted};

#[tokio::test]
async fn a_tool_is_created_by_name_and_told_by_its_addresses() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let view = world.app.create_tool(&ada, "wordcount").await.unwrap();
    assert_eq!(view.role, Some(Role::Owner));
    assert_eq!(world.app.addresses().tool(&view.tool.name), "http://wordcount.localhost:8080/");

    let status = world.app.status(&ada, "wordcount").await.unwrap();
    assert_eq!(
        (status.state, status.release.is_none(), status.last_run.is_none()),
        (ToolState::Empty, true, true)
    );
}

#[tokio::test]
async fn a_name_that_is_none_or_taken_is_refused_with_a_way_on() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    for bad in ["", "a", "Shop", "a--b", "git", "../etc"] {
        let problem = world.app.create_tool(&ada, bad).await.unwrap_err();
        assert_eq!((problem.status, problem.id.as_str()), (422, "tool-name"), "{bad}");
        assert!(problem.hint.is_some());
    }
    world.app.create_tool(&ada, "shop").await.unwrap();
    let bob = world.person("bob").await;
    let problem = world.app.create_tool(&bob, "shop").await.unwrap_err();
    assert_eq!((problem.status, problem.id.as_str()), (409, "tool-taken"));
}

#[tokio::test]
async fn nobody_owns_more_tools_than_the_quota_but_an_operator() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    for number in 0..20 {
        world.app.create_tool(&ada, &format!("tool-{number}")).await.unwrap();
    }
    let problem = world.app.create_tool(&ada, "one-more").await.unwrap_err();
    assert_eq!((problem.status, problem.id.as_str()), (429, "tool-quota"));
    world.app.delete_tool(&ada, "tool-3").await.unwrap();
    world.app.create_tool(&ada, "one-more").await.unwrap();
}

#[tokio::test]
async fn one_sees_ones_own_tools_and_an_operator_all() {
    let world = World::new().await;
    let (shop, _) = world.tool("shop").await;
    world.tool("cafe").await;
    let names = |views: Vec<app::tools::ToolView>| -> Vec<String> {
        views.into_iter().map(|view| view.tool.name.to_string()).collect()
    };
    assert_eq!(names(world.app.tools(&shop).await.unwrap()), ["shop"]);
    assert_eq!(names(world.app.tools(&world.operator).await.unwrap()), ["cafe", "shop"]);
    assert_eq!(world.app.tools(&Actor::Anonymous).await.unwrap_err().status, 401);
}

#[tokio::test]
async fn a_strangers_tool_reads_exactly_like_one_that_does_not_exist() {
    let world = World::new().await;
    world.tool("shop").await;
    let eve = world.person("eve").await;
    let of = |problem: model::Problem| (problem.id, problem.status, problem.detail, problem.hint);
    let there = of(world.app.status(&eve, "shop").await.unwrap_err());
    let absent = of(world.app.status(&eve, "shopping").await.unwrap_err());
    assert_eq!(there, absent);
    assert_eq!(of(world.app.delete_tool(&eve, "shop").await.unwrap_err()), absent);
    assert_eq!(of(world.app.status(&eve, "../shop").await.unwrap_err()), absent);
}

#[tokio::test]
async fn a_refusal_to_a_member_is_noted() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let ada = world.person("ada").await;
    world.app.add_member(&owner, "shop", "ada", Role::Reader).await.unwrap();
    let problem = world.app.delete_tool(&ada, "shop").await.unwrap_err();
    assert!(problem.detail.contains("only owners may delete it"), "{problem}");
    let last = world.store.audit(Some(tool), 1).await.unwrap().pop().unwrap();
    assert_eq!((last.action.as_str(), last.outcome), ("tool.delete", AuditOutcome::Refused));
    assert_eq!(last.actor, ada.to_string());
}

#[tokio::test]
async fn a_push_becomes_a_release_that_can_be_stopped_started_and_restarted() {
    let world = World::new().await;
    let (owner, id) = world.tool("shop").await;
    for early in [world.app.stop_tool(&owner, "shop").await, world.app.restart_tool(&owner, "shop").await] {
        let problem = early.unwrap_err();
        assert_eq!((problem.status, problem.id.as_str()), (409, "tool-empty"));
        assert!(problem.hint.unwrap().contains("http://localhost:8080/git/shop.git"));
    }
    let run = world.push(&owner, "shop").await;
    world.nudge.notified().await;
    assert_eq!(world.deploy(run).await, 1);

    let status = world.app.status(&owner, "shop").await.unwrap();
    assert_eq!(status.release.unwrap().number, 1);
    assert_eq!(status.last_run.unwrap().state, RunState::Live);
    assert_eq!(status.state, ToolState::Failing, "released, and nothing runs");

    world.app.stop_tool(&owner, "shop").await.unwrap();
    world.nudge.notified().await;
    assert_eq!(world.app.status(&owner, "shop").await.unwrap().state, ToolState::Stopped);
    world.app.restart_tool(&owner, "shop").await.unwrap();
    let tool = world.store.tool(id).await.unwrap();
    assert_eq!((tool.wanted, tool.restarts), (Wanted::Running, 1));
    world.app.stop_tool(&owner, "shop").await.unwrap();
    world.app.start_tool(&owner, "shop").await.unwrap();
    assert_eq!(world.store.tool(id).await.unwrap().wanted, Wanted::Running);

    let releases = world.app.releases(&owner, "shop", 10, None).await.unwrap();
    let [release] = releases.releases.as_slice() else { panic!("{releases:?}") };
    assert!(release.current && release.deployed.is_some() && release.run == 1);
    let [row] = releases.history.as_slice() else { panic!("{releases:?}") };
    assert_eq!((row.deployment.release, row.by.as_str(), row.from), (1, "shop", None));
}

#[tokio::test]
async fn runs_are_listed_shown_and_cancelled_by_number() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    world.push(&owner, "shop").await;
    let (run, steps) = world.app.run(&owner, "shop", 1).await.unwrap();
    assert_eq!((run.by.as_str(), run.run.state), ("shop", RunState::Queued));
    let words: Vec<_> = steps.iter().map(|step| step.kind.as_str()).collect();
    assert_eq!(words, ["plan", "test", "build", "release", "deploy"]);

    assert_eq!(world.app.cancel_run(&owner, "shop", 1).await.unwrap().run.state, RunState::Cancelled);
    let problem = world.app.cancel_run(&owner, "shop", 1).await.unwrap_err();
    assert_eq!((problem.status, problem.id.as_str()), (409, "run-ended"));
    assert_eq!(world.app.run(&owner, "shop", 9).await.unwrap_err().id, "run-unknown");

    world.push(&owner, "shop").await;
    let numbers =
        |views: Vec<app::runs::RunView>| -> Vec<u64> { views.iter().map(|view| view.run.number).collect() };
    assert_eq!(numbers(world.app.runs(&owner, "shop", 10, None).await.unwrap()), [2, 1]);
    assert_eq!(numbers(world.app.runs(&owner, "shop", 10, Some(2)).await.unwrap()), [1]);
    assert_eq!(numbers(world.app.runs(&owner, "shop", 0, None).await.unwrap()), [2], "at least one row");
}

#[tokio::test]
async fn a_deleted_tools_name_comes_back_as_another_tool() {
    let world = World::new().await;
    let (owner, first) = world.tool("shop").await;
    world.push(&owner, "shop").await;
    world.app.delete_tool(&owner, "shop").await.unwrap();
    assert_eq!(world.app.status(&owner, "shop").await.unwrap_err().status, 404);
    let again = world.app.create_tool(&owner, "shop").await.unwrap();
    assert_ne!(again.tool.id, first);
    assert!(world.app.runs(&owner, "shop", 10, None).await.unwrap().is_empty());
}
