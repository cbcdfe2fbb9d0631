//! What the git door asks.

use crate::world::World;
use app::pushes::PushedRef;
use model::{Actor, PushId, Role};

fn branch(name: &str) -> PushedRef {
    PushedRef { name: format!("refs/heads/{name}"), old: None, new: Some("ab".repeat(20)) }
}

#[tokio::test]
async fn a_reader_may_clone_and_a_maintainer_may_push() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    let (_, ada) = world.app.create_user(&world.operator, "ada").await.unwrap();
    let token = Some(ada.text.as_str());

    assert_eq!(world.app.open_to_read(None, "shop").await.unwrap_err().status, 401);
    assert_eq!(world.app.open_to_read(token, "shop").await.unwrap_err().status, 404);
    world.app.add_member(&owner, "shop", "ada", Role::Reader).await.unwrap();
    assert_eq!(world.app.open_to_read(token, "shop").await.unwrap().user_name, "ada");
    let problem = world.app.open_to_push(token, "shop").await.unwrap_err();
    assert!(problem.hint.unwrap().contains("members add"), "it says how to get the right");

    world.app.remove_member(&owner, "shop", "ada").await.unwrap();
    world.app.add_member(&owner, "shop", "ada", Role::Maintainer).await.unwrap();
    assert!(world.app.open_to_push(token, "shop").await.is_ok());
}

#[tokio::test]
async fn an_operator_who_is_no_member_puts_no_code_into_a_tool() {
    let world = World::new().await;
    world.tool("shop").await;
    let push = world.app.record_push(&world.operator, "shop", PushId::new(), &branch("main")).await;
    assert_eq!(push.unwrap_err().status, 403);
    assert!(world.app.status(&world.operator, "shop").await.is_ok(), "but may look");
}

#[tokio::test]
async fn the_first_of_main_and_master_becomes_the_production_branch() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let record = |name: &'static str| {
        let (app, owner) = (&world.app, &owner);
        async move { app.record_push(owner, "shop", PushId::new(), &branch(name)).await.unwrap() }
    };
    let side = record("try").await;
    assert!(!world.app.push_progress(side.run).await.unwrap().0.production);
    let master = record("master").await;
    assert!(world.app.push_progress(master.run).await.unwrap().0.production);
    let main = record("main").await;
    let (run, steps) = world.app.push_progress(main.run).await.unwrap();
    assert!(!run.production && steps.len() == 3, "a branch like any other by now");
    assert_eq!(world.store.tool(tool).await.unwrap().production_branch.as_deref(), Some("master"));
}

#[tokio::test]
async fn the_production_branch_that_a_maintainer_sets_is_the_one_that_is_deployed() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let maintainer = world.person("ada").await;
    world.app.add_member(&owner, "shop", "ada", Role::Maintainer).await.unwrap();
    let deploys = |name: &'static str| {
        let (app, owner) = (&world.app, &owner);
        async move {
            let push = app.record_push(owner, "shop", PushId::new(), &branch(name)).await.unwrap();
            app.push_progress(push.run).await.unwrap().0.production
        }
    };
    assert!(deploys("main").await && !deploys("live").await);
    let view = world.app.set_production_branch(&maintainer, "shop", "live").await.unwrap();
    assert_eq!((view.tool.production_branch.as_deref(), view.role), (Some("live"), Some(Role::Maintainer)));
    let row = world.store.audit(Some(tool), 1).await.unwrap().remove(0);
    assert_eq!((row.actor, row.target.as_str()), (maintainer.to_string(), "production branch live"));
    assert!(deploys("live").await && !deploys("main").await);

    let delete = |name| PushedRef { new: None, ..branch(name) };
    let kept = world.app.check_push(tool, &[delete("live")], &[]).await.unwrap_err();
    assert_eq!(kept.id, "push-deletes-production");
    assert!(
        world.app.check_push(tool, &[delete("main")], &[]).await.is_ok(),
        "a branch like any other by now"
    );
}

#[tokio::test]
async fn a_production_branch_that_is_set_before_any_push_is_not_settled_by_one() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    world.app.set_production_branch(&owner, "shop", "live").await.unwrap();
    let push = world.app.record_push(&owner, "shop", PushId::new(), &branch("main")).await.unwrap();
    assert!(!world.app.push_progress(push.run).await.unwrap().0.production);
    assert_eq!(world.store.tool(tool).await.unwrap().production_branch.as_deref(), Some("live"));
}

#[tokio::test]
async fn who_may_not_push_does_not_say_which_branch_is_deployed() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    let (reader, stranger) = (world.person("ada").await, world.person("eve").await);
    world.app.add_member(&owner, "shop", "ada", Role::Reader).await.unwrap();
    for (actor, status) in [(reader, 403), (world.operator, 403), (stranger, 404), (Actor::Anonymous, 401)] {
        let problem = world.app.set_production_branch(&actor, "shop", "live").await.unwrap_err();
        assert_eq!(problem.status, status, "{problem}");
    }
    let problem = world.app.set_production_branch(&owner, "shop", "refs/heads/live").await.unwrap_err();
    assert_eq!((problem.status, problem.id.as_str()), (422, "branch-name"));
    assert!(problem.detail.contains("without `refs/heads/`") && problem.hint.is_some(), "{problem}");
    assert_eq!(world.store.tool(tool).await.unwrap().production_branch, None);
}

#[tokio::test]
async fn a_push_recorded_twice_is_one_run_and_a_newer_one_takes_over() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    let id = PushId::new();
    let first = world.app.record_push(&owner, "shop", id, &branch("main")).await.unwrap();
    let again = world.app.record_push(&owner, "shop", id, &branch("main")).await.unwrap();
    assert_eq!(first.run, again.run);
    let newer = world.app.record_push(&owner, "shop", PushId::new(), &branch("main")).await.unwrap();
    assert_eq!(newer.superseded, [1]);
}

#[tokio::test]
async fn what_git_may_not_take_is_refused_before_anything_is_kept() {
    let world = World::new().await;
    let (owner, tool) = world.tool("shop").await;
    world.app.record_push(&owner, "shop", PushId::new(), &branch("main")).await.unwrap();
    let refused = |refs: Vec<PushedRef>| {
        let app = &world.app;
        async move { app.check_push(tool, &refs, &[]).await.err().map(|problem| problem.id) }
    };
    let tag = PushedRef { name: "refs/tags/v1".into(), ..branch("x") };
    let delete = PushedRef { new: None, ..branch("main") };
    assert_eq!(refused(vec![branch("main"), branch("other")]).await, None);
    assert_eq!(refused(vec![tag]).await, None);
    let note = PushedRef { name: "refs/notes/commits".into(), ..branch("x") };
    assert_eq!(refused(vec![note]).await.as_deref(), Some("push-not-a-branch"));
    assert_eq!(refused(vec![delete.clone()]).await.as_deref(), Some("push-deletes-production"));
    assert_eq!(refused(vec![PushedRef { new: None, ..branch("other") }]).await, None);
    let nobody = world.app.record_push(&Actor::Anonymous, "shop", PushId::new(), &delete).await;
    assert_eq!(nobody.unwrap_err().status, 401);
}
