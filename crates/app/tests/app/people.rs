//! Signing in, users, tokens, members.

use crate::world::World;
use model::{Actor, Role};
use std::{fs, os::unix::fs::PermissionsExt};

#[tokio::test]
async fn the_first_start_leaves_one_token_that_only_root_and_the_platform_can_read() {
    let world = World::new().await;
    let file = world.paths.operator_token();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(text.starts_with("wl_operator_") && text.len() == 12 + 64 + 1, "one line");
    assert_eq!(fs::read_to_string(world.paths.served_address()).unwrap(), "http://localhost:8080\n");

    let who = world.app.whoami(&world.operator).await.unwrap();
    assert!(who.user.operator && who.user.name == "operator" && who.only_tool.is_none());

    world.app.ensure_operator().await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "a second start changes nothing");
}

#[tokio::test]
async fn an_operators_token_that_was_revoked_or_lost_is_made_anew_at_the_next_start() {
    let world = World::new().await;
    let file = world.paths.operator_token();
    let first = fs::read_to_string(&file).unwrap();
    world.app.revoke_token(&world.operator, "current").await.unwrap();
    assert_eq!(world.app.identify(Some(first.trim())).await.unwrap_err().status, 401);

    world.app.ensure_operator().await.unwrap();
    let second = fs::read_to_string(&file).unwrap();
    assert_ne!(first, second);
    assert!(matches!(
        world.app.identify(Some(second.trim())).await.unwrap(),
        Actor::User { operator: true, .. }
    ));

    fs::remove_file(&file).unwrap();
    world.app.ensure_operator().await.unwrap();
    let third = fs::read_to_string(&file).unwrap();
    assert!(world.app.identify(Some(third.trim())).await.is_ok());
}

#[tokio::test]
async fn without_a_token_one_is_nobody_and_with_a_wrong_one_refused() {
    let world = World::new().await;
    assert_eq!(world.app.identify(None).await.unwrap(), Actor::Anonymous);
    assert_eq!(world.app.identify(Some("")).await.unwrap(), Actor::Anonymous);
    let nobody = world.app.whoami(&Actor::Anonymous).await.unwrap_err();
    assert_eq!((nobody.status, nobody.id.as_str()), (401, "auth-missing"));
    for wrong in ["hunter2", "wl_operator_0000", &format!("wl_{}", "0".repeat(10_000))] {
        let problem = world.app.identify(Some(wrong)).await.unwrap_err();
        assert_eq!(problem.id, "auth-token");
        assert!(!problem.to_string().contains(wrong), "a token gets into no message");
    }
}

#[tokio::test]
async fn a_token_begets_others_and_each_can_be_revoked_alone() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let laptop = world.app.issue_token(&ada, "git on my laptop").await.unwrap();
    let on_laptop = world.app.identify(Some(&laptop.text)).await.unwrap();
    assert_eq!(on_laptop.user(), ada.user());
    assert_eq!(world.app.tokens(&ada).await.unwrap().len(), 2);

    let bob = world.person("bob").await;
    let theft = world.app.revoke_token(&bob, &laptop.id.to_string()).await.unwrap_err();
    assert_eq!(theft.status, 404, "another's token reads as absent");

    world.app.revoke_token(&ada, &laptop.id.to_string()).await.unwrap();
    assert!(world.app.identify(Some(&laptop.text)).await.is_err());
    assert!(world.app.whoami(&ada).await.is_ok(), "the other token still works");
}

#[tokio::test]
async fn a_label_is_one_short_line() {
    let world = World::new().await;
    for bad in ["", "  ", "two\nlines", &"x".repeat(81)] {
        assert_eq!(world.app.issue_token(&world.operator, bad).await.err().unwrap().status, 422, "{bad:?}");
    }
}

#[tokio::test]
async fn only_operators_make_users() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    assert_eq!(world.app.create_user(&ada, "eve").await.err().unwrap().status, 403);
    assert_eq!(world.app.create_user(&world.operator, "ada").await.err().unwrap().id, "user-taken");
    for bad in ["", "a", "Ada", "a b", "-x", "../x", &"a".repeat(41)] {
        assert_eq!(world.app.create_user(&world.operator, bad).await.err().unwrap().status, 422, "{bad:?}");
    }
    let names: Vec<_> =
        world.app.users(&world.operator).await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["ada", "operator"]);
}

#[tokio::test]
async fn members_come_and_go_but_an_owner_stays() {
    let world = World::new().await;
    let (owner, _) = world.tool("shop").await;
    let ada = world.person("ada").await;
    assert_eq!(world.app.status(&ada, "shop").await.unwrap_err().status, 404);

    world.app.add_member(&owner, "shop", "ada", Role::Reader).await.unwrap();
    assert!(world.app.status(&ada, "shop").await.is_ok());
    let problem = world.app.add_member(&ada, "shop", "operator", Role::Owner).await.unwrap_err();
    assert_eq!((problem.status, problem.id.as_str()), (403, "auth-forbidden"));
    assert_eq!(
        world.app.add_member(&owner, "shop", "nobody", Role::Reader).await.unwrap_err().id,
        "user-unknown"
    );
    assert_eq!(
        world.app.add_member(&owner, "shop", "ada", Role::Owner).await.unwrap_err().id,
        "member-exists"
    );
    assert_eq!(world.app.remove_member(&owner, "shop", "shop").await.unwrap_err().id, "member-last-owner");

    world.app.remove_member(&owner, "shop", "ada").await.unwrap();
    assert_eq!(world.app.remove_member(&owner, "shop", "ada").await.unwrap_err().id, "member-unknown");
    assert_eq!(world.app.status(&ada, "shop").await.unwrap_err().status, 404);
}
