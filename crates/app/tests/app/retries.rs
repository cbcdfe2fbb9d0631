//! Trying a run again.

use crate::world::World;
use app::pushes::PushedRef;
use model::{Actor, PushId, Role, run::OnNewPush};

fn pushed(commit: &str) -> PushedRef {
    PushedRef { name: "refs/heads/main".into(), old: None, new: Some(commit.to_owned()) }
}

#[tokio::test]
async fn a_run_that_has_ended_is_tried_again_and_one_that_goes_on_is_not() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let commit = world.commit(tool);
    world.app.record_push(&owner, "shop", PushId::new(), &pushed(&commit)).await.unwrap();
    let open = world.app.retry_run(&owner, "shop", 1).await.unwrap_err();
    assert_eq!((open.status, open.id.as_str()), (409, "run-open"));
    assert!(open.hint.unwrap().contains("runs cancel"));

    world.app.cancel_run(&owner, "shop", 1).await.unwrap();
    let again = world.app.retry_run(&owner, "shop", 1).await.unwrap().run;
    assert_eq!((again.number, &again.commit, again.production), (2, &commit, true));
    let row = world.store.audit(Some(tool), 1).await.unwrap().remove(0);
    assert_eq!((row.action.as_str(), row.target.as_str()), ("run.retry", "run 2"));
    assert_eq!(world.app.retry_run(&owner, "shop", 9).await.unwrap_err().id, "run-unknown");

    // As the tool is set, a newer push waits for it, or takes over.
    world.app.set_on_new_push(&owner, "shop", Some(OnNewPush::Queue)).await.unwrap();
    let waits = world.app.retry_run(&owner, "shop", 1).await.unwrap().run;
    assert_eq!((waits.number, waits.waits_for), (3, Some(2)));
    world.app.set_on_new_push(&owner, "shop", None).await.unwrap();
    let newer = world.app.record_push(&owner, "shop", PushId::new(), &pushed(&commit)).await.unwrap();
    assert_eq!(newer.superseded, [2, 3]);
}

#[tokio::test]
async fn a_run_whose_commit_is_gone_says_so() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    world.push(&owner, "shop").await;
    world.app.cancel_run(&owner, "shop", 1).await.unwrap();
    let gone = world.app.retry_run(&owner, "shop", 1).await.unwrap_err();
    assert_eq!((gone.status, gone.id.as_str()), (409, "run-commit-gone"));
    assert!(gone.detail.contains("3f3f3f3"), "{gone}");
}

#[tokio::test]
async fn a_rollback_that_is_tried_again_is_a_rollback() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    for _ in 0..2 {
        let run = world.push(&owner, "shop").await;
        world.deploy(run).await;
    }
    world.app.roll_back(&owner, "shop", Some(1)).await.unwrap();
    world.app.cancel_run(&owner, "shop", 3).await.unwrap();
    let again = world.app.retry_run(&owner, "shop", 3).await.unwrap().run;
    assert_eq!((again.number, again.rollback_to), (4, Some(1)));
}

#[tokio::test]
async fn who_may_not_push_may_not_try_again_what_was_pushed() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    world.push(&owner, "shop").await;
    let (reader, stranger) = (world.person("ada").await, world.person("eve").await);
    world.app.add_member(&owner, "shop", "ada", Role::Reader).await.unwrap();
    for (actor, status) in [(reader, 403), (world.operator, 403), (stranger, 404), (Actor::Anonymous, 401)] {
        assert_eq!(world.app.retry_run(&actor, "shop", 1).await.unwrap_err().status, status);
        let rule = world.app.set_on_new_push(&actor, "shop", Some(OnNewPush::Queue)).await;
        assert_eq!(rule.unwrap_err().status, status);
    }
}
