//! Users, tokens, members and what the audit says of them.

use super::town::{PLATFORM, Town};
use crate::{AuditOutcome, Conflict, NewToken, StoreError, TokenHash, TokenKind};
use model::{Actor, Role, Timestamp, TokenScope, UserId};
use std::time::Duration;

fn token(user: UserId, byte: u8) -> NewToken {
    NewToken {
        hash: TokenHash([byte; 32]),
        user,
        kind: TokenKind::Personal,
        scope: TokenScope::All,
        label: "laptop".into(),
        expires_at: None,
    }
}

pub async fn the_operator_of_the_first_start_is_the_same_at_the_second(town: &Town) {
    let first = town.store.ensure_operator("operator").await.unwrap();
    assert!(first.operator);
    assert_eq!(town.store.ensure_operator("operator").await.unwrap(), first);
    let person = town.user("ada").await;
    assert!(!person.operator);
    assert!(town.store.ensure_operator("ada").await.unwrap().operator);
    let names: Vec<_> = town.store.users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["ada", "operator"]);
}

pub async fn a_user_name_is_taken_once(town: &Town) {
    let ada = town.user("ada").await;
    let again = town.store.create_user("ada", &PLATFORM).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::UserNameTaken(name))) if name == "ada"));
    assert_eq!(town.store.user(ada.id).await.unwrap(), ada);
    assert_eq!(town.store.user_by_name("ada").await.unwrap(), ada);
    assert!(matches!(town.store.user_by_name("bob").await, Err(StoreError::NotFound("user"))));
    assert!(matches!(town.store.user(UserId::new()).await, Err(StoreError::NotFound("user"))));
}

pub async fn a_token_stands_for_its_user_until_it_is_revoked(town: &Town) {
    let ada = town.user("ada").await;
    let made = town.store.add_token(&token(ada.id, 1), &PLATFORM).await.unwrap();
    let again = town.store.add_token(&token(ada.id, 1), &PLATFORM).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::TokenExists))));
    let nobody = town.store.add_token(&token(UserId::new(), 2), &PLATFORM).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("user"))));

    let now = Timestamp::now();
    let identity = town.store.identify(&TokenHash([1; 32]), now).await.unwrap().unwrap();
    assert_eq!((&identity.user, identity.token), (&ada, made.id));
    let actor = Actor::User { id: ada.id, token: made.id, scope: TokenScope::All, operator: false };
    assert_eq!(identity.actor(), actor);
    assert_eq!(town.store.identify(&TokenHash([2; 32]), now).await.unwrap(), None);

    town.store.revoke_token(made.id, &actor).await.unwrap();
    assert_eq!(town.store.identify(&TokenHash([1; 32]), now).await.unwrap(), None);
    assert!(town.store.tokens_of(ada.id).await.unwrap().is_empty());
    assert!(matches!(town.store.revoke_token(made.id, &actor).await, Err(StoreError::NotFound("token"))));
}

pub async fn a_token_ends_when_its_time_has_come(town: &Town) {
    let ada = town.user("ada").await;
    let noon = Timestamp::now().plus(Duration::from_mins(1));
    let short = NewToken { expires_at: Some(noon), ..token(ada.id, 1) };
    town.store.add_token(&short, &PLATFORM).await.unwrap();
    assert!(town.store.identify(&short.hash, Timestamp::now()).await.unwrap().is_some());
    assert!(town.store.identify(&short.hash, noon).await.unwrap().is_none());
}

pub async fn a_token_for_one_tool_dies_with_it(town: &Town) {
    let tool = town.tool("wordcount").await;
    let owner = town.store.members(tool.id).await.unwrap().remove(0).user;
    let scoped = NewToken { scope: TokenScope::Tool(tool.id), ..token(owner.id, 1) };
    town.store.add_token(&scoped, &PLATFORM).await.unwrap();
    let identity = town.store.identify(&scoped.hash, Timestamp::now()).await.unwrap().unwrap();
    assert_eq!(identity.scope, TokenScope::Tool(tool.id));
    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    assert!(town.store.identify(&scoped.hash, Timestamp::now()).await.unwrap().is_none());
    let late = NewToken { hash: TokenHash([2; 32]), ..scoped };
    assert!(matches!(town.store.add_token(&late, &PLATFORM).await, Err(StoreError::NotFound("tool"))));
}

pub async fn the_use_of_a_token_is_noted_once_a_minute(town: &Town) {
    let ada = town.user("ada").await;
    town.store.add_token(&token(ada.id, 1), &PLATFORM).await.unwrap();
    let first = Timestamp::now();
    for (later, noted) in [(0, 0), (59, 0), (60, 60), (61, 60)] {
        let now = first.plus(Duration::from_secs(later));
        town.store.identify(&TokenHash([1; 32]), now).await.unwrap().unwrap();
        let used = town.store.tokens_of(ada.id).await.unwrap()[0].used_at;
        assert_eq!(used, Some(first.plus(Duration::from_secs(noted))), "used after {later} s");
    }
}

pub async fn members_have_roles_and_strangers_have_none(town: &Town) {
    let tool = town.tool("wordcount").await;
    let bob = town.user("bob").await;
    assert_eq!(town.store.role_of(tool.id, bob.id).await.unwrap(), None);
    town.store.add_member(tool.id, bob.id, Role::Maintainer, &PLATFORM).await.unwrap();
    assert_eq!(town.store.role_of(tool.id, bob.id).await.unwrap(), Some(Role::Maintainer));
    let again = town.store.add_member(tool.id, bob.id, Role::Owner, &PLATFORM).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::AlreadyMember))));
    let members: Vec<_> = town.store.members(tool.id).await.unwrap();
    let members: Vec<_> = members.iter().map(|member| (member.user.name.as_str(), member.role)).collect();
    assert_eq!(members, [("bob", Role::Maintainer), ("wordcount", Role::Owner)]);
    assert_eq!(town.store.tools_of(bob.id).await.unwrap(), [(tool.clone(), Role::Maintainer)]);
    town.store.remove_member(tool.id, bob.id, &PLATFORM).await.unwrap();
    assert_eq!(town.store.role_of(tool.id, bob.id).await.unwrap(), None);
    let gone = town.store.remove_member(tool.id, bob.id, &PLATFORM).await;
    assert!(matches!(gone, Err(StoreError::NotFound("member"))));
    let nobody = town.store.add_member(tool.id, UserId::new(), Role::Reader, &PLATFORM).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("user"))));
}

pub async fn the_last_owner_stays(town: &Town) {
    let tool = town.tool("wordcount").await;
    let owner = town.store.members(tool.id).await.unwrap().remove(0).user;
    let bob = town.user("bob").await;
    town.store.add_member(tool.id, bob.id, Role::Maintainer, &PLATFORM).await.unwrap();
    let leave = town.store.remove_member(tool.id, owner.id, &PLATFORM).await;
    assert!(matches!(leave, Err(StoreError::Conflict(Conflict::LastOwner))));
    assert_eq!(town.store.role_of(tool.id, owner.id).await.unwrap(), Some(Role::Owner));
}

pub async fn what_people_do_is_in_the_audit_and_what_failed_is_not(town: &Town) {
    let tool = town.tool("wordcount").await;
    let bob = town.user("bob").await;
    town.store.add_member(tool.id, bob.id, Role::Reader, &PLATFORM).await.unwrap();
    town.store.add_member(tool.id, bob.id, Role::Reader, &PLATFORM).await.unwrap_err();
    town.store
        .note(&Actor::Anonymous, "tool.delete", Some(tool.id), "tool wordcount", AuditOutcome::Refused)
        .await
        .unwrap();
    let rows = town.store.audit(Some(tool.id), 10).await.unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.actor.as_str(), row.action.as_str(), row.target.as_str(), row.outcome))
        .collect();
    assert_eq!(
        rows,
        [
            ("anonymous", "tool.delete", "tool wordcount", AuditOutcome::Refused),
            ("platform", "member.manage", "added bob as reader", AuditOutcome::Done),
            ("platform", "tool.create", "tool wordcount", AuditOutcome::Done),
        ]
    );
    let of_platform = town.store.audit(None, 1).await.unwrap();
    assert_eq!(of_platform.len(), 1);
    assert_eq!(of_platform[0].target, "user bob");
}
