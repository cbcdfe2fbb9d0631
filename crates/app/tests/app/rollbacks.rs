//! Going back to a release that was live.

use crate::world::World;
use model::{Actor, EnvironmentName, RunId, ToolId, run::RunState};

/// A tool whose v1 and v2 were live, and its owner.
async fn two_releases(world: &World) -> (Actor, ToolId) {
    let (owner, tool) = world.tool("shop").await;
    for number in 1..=2 {
        let run = world.push(&owner, "shop").await;
        assert_eq!(world.deploy(run).await, number);
    }
    (owner, tool)
}

/// What the deploy step of a rollback writes down.
async fn arrives(world: &World, tool: ToolId, run: RunId) {
    let release = world.store.run(run).await.unwrap().rollback_to.unwrap();
    let live = world.live(tool).await;
    world.store.set_current(tool, &EnvironmentName::production(), release, live, run).await.unwrap();
    world.store.cancel_run(run, &Actor::Platform).await.unwrap();
}

async fn refusal(world: &World, actor: &Actor, number: Option<u64>) -> (u16, String) {
    let problem = world.app.roll_back(actor, "shop", number).await.unwrap_err();
    assert!(problem.hint.is_some(), "{problem}");
    (problem.status, problem.id)
}

#[tokio::test]
async fn without_a_number_it_goes_one_deploy_back_and_the_history_says_so() {
    let world = World::new().await;
    let (owner, tool) = two_releases(&world).await;
    let view = world.app.roll_back(&owner, "shop", None).await.unwrap();
    world.nudge.notified().await;
    assert_eq!((view.from, view.release.number, view.run.run.number), (2, 1, 3));
    assert_eq!(view.run.by, "shop");
    arrives(&world, tool, view.run.run.id).await;

    assert_eq!(refusal(&world, &owner, None).await, (409, "rollback-first".to_owned()));
    assert_eq!(refusal(&world, &owner, Some(1)).await, (409, "rollback-live".to_owned()));
    let view = world.app.releases(&owner, "shop", 10, None).await.unwrap();
    let live: Vec<_> =
        view.releases.iter().map(|release| (release.release.number, release.current)).collect();
    assert_eq!(live, [(2, false), (1, true)], "no number is made anew");
    let history: Vec<_> = view
        .history
        .iter()
        .map(|row| (row.deployment.release, row.from, row.deployment.rollback, row.deployment.run))
        .collect();
    assert_eq!(history, [(1, Some(2), true, 3), (2, Some(1), false, 2), (1, None, false, 1)]);

    // Forward again is a rollback too.
    assert_eq!(world.app.roll_back(&owner, "shop", Some(2)).await.unwrap().release.number, 2);
}

#[tokio::test]
async fn only_a_release_that_was_live_can_come_back() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    assert_eq!(refusal(&world, &owner, None).await, (409, "tool-empty".to_owned()));
    let run = world.push(&owner, "shop").await;
    world.deploy(run).await;
    assert_eq!(refusal(&world, &owner, None).await, (409, "rollback-first".to_owned()));
    assert_eq!(refusal(&world, &owner, Some(9)).await, (404, "release-unknown".to_owned()));
    // v2 was made, and nothing came of it.
    let run = world.push(&owner, "shop").await;
    world.release(tool, run).await;
    world.store.cancel_run(run, &Actor::Platform).await.unwrap();
    assert_eq!(refusal(&world, &owner, Some(2)).await, (409, "rollback-never-live".to_owned()));
    world.store.release_failed(tool, 2).await.unwrap();
    assert_eq!(refusal(&world, &owner, Some(2)).await, (409, "rollback-never-live".to_owned()));
}

#[tokio::test]
async fn while_a_run_is_under_way_one_says_what_one_means() {
    let world = World::new().await;
    let (owner, _) = two_releases(&world).await;
    let waiting = world.push(&owner, "shop").await;
    assert_eq!(refusal(&world, &owner, None).await, (409, "rollback-under-way".to_owned()));
    assert_eq!(world.store.run(waiting).await.unwrap().state, RunState::Queued);
    // "What is live stays live" is a wish as well, and the newer one.
    let view = world.app.roll_back(&owner, "shop", Some(2)).await.unwrap();
    assert_eq!((view.from, view.release.number, view.superseded), (2, 2, vec![3]));
    assert_eq!(world.store.run(waiting).await.unwrap().state, RunState::Superseded);
    // A push after it is the newer wish again.
    world.push(&owner, "shop").await;
    assert_eq!(world.store.run(view.run.run.id).await.unwrap().state, RunState::Superseded);
}
