//! The tenants: names come back, ids and ranges never.

use super::town::{PLATFORM, Town};
use crate::{Conflict, NewTool, StoreError, Wanted};
use model::{
    ToolId, UserId,
    instance::{FIRST_TOOL_RANGE, RANGES_PER_INSTANCE},
    run::{CancelReason, Outcome, RunState},
};

pub async fn a_name_is_taken_once(town: &Town) {
    let tool = town.tool("wordcount").await;
    let owner = town.user("bob").await.id;
    let again = town.store.create_tool(&NewTool { name: tool.name.clone(), owner }, &PLATFORM).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::ToolNameTaken(_)))));
    let nobody = NewTool { name: "other".parse().unwrap(), owner: UserId::new() };
    assert!(matches!(town.store.create_tool(&nobody, &PLATFORM).await, Err(StoreError::NotFound("user"))));
    assert_eq!(town.store.tool(tool.id).await.unwrap(), tool);
    assert_eq!(town.store.tool_by_name(&tool.name).await.unwrap(), tool);
    assert_eq!(town.store.tools().await.unwrap(), [tool]);
    assert!(matches!(town.store.tool(ToolId::new()).await, Err(StoreError::NotFound("tool"))));
}

pub async fn a_deleted_name_comes_back_with_another_id_and_range(town: &Town) {
    let first = town.tool("wordcount").await;
    town.push(&first, "main", 1).await;
    town.store.delete_tool(first.id, &PLATFORM).await.unwrap();
    let owner = town.user("bob").await.id;
    let second =
        town.store.create_tool(&NewTool { name: first.name.clone(), owner }, &PLATFORM).await.unwrap();
    assert_ne!(second.id, first.id);
    assert!(second.range > first.range);
    assert_eq!(town.store.tool_by_name(&first.name).await.unwrap().id, second.id);
    assert!(town.store.runs_of(second.id, 10, None).await.unwrap().is_empty());
    assert_eq!(town.push(&second, "main", 1).await.number, 1);
}

pub async fn a_deleted_tool_is_gone_from_every_list_and_its_runs_end(town: &Town) {
    let tool = town.tool("wordcount").await;
    let owner = town.store.members(tool.id).await.unwrap().remove(0).user.id;
    let running = town.push(&tool, "main", 1).await.run;
    let waiting = town.push(&tool, "other", 2).await.run;
    let push = town.new_push(&tool, "main", 3).await;
    let claim = town.claim().await.claim;
    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();

    assert!(matches!(town.store.tool(tool.id).await, Err(StoreError::NotFound("tool"))));
    assert!(matches!(town.store.tool_by_name(&tool.name).await, Err(StoreError::NotFound("tool"))));
    assert!(matches!(town.store.delete_tool(tool.id, &PLATFORM).await, Err(StoreError::NotFound("tool"))));
    assert!(matches!(town.store.record_push(&push).await, Err(StoreError::NotFound("tool"))));
    assert!(town.store.tools().await.unwrap().is_empty());
    assert!(town.store.tools_of(owner).await.unwrap().is_empty());
    assert_eq!(town.store.role_of(tool.id, owner).await.unwrap(), None);

    assert_eq!(town.run(waiting).await.state, RunState::Cancelled);
    assert_eq!(town.run(running).await.cancel, Some(CancelReason::Person));
    town.store.finish_step(&claim, &Outcome::Cancelled).await.unwrap();
    assert_eq!(town.run(running).await.state, RunState::Cancelled);

    let deleted = town.store.deleted_tools().await.unwrap();
    assert_eq!(deleted.iter().map(|tool| tool.id).collect::<Vec<_>>(), [tool.id]);
    assert!(deleted[0].deleted_at.is_some());
    town.store.tool_cleared(tool.id).await.unwrap();
    assert!(town.store.deleted_tools().await.unwrap().is_empty());
}

pub async fn ranges_are_spent_one_by_one_and_then_there_are_none(town: &Town) {
    let owner = town.user("ada").await.id;
    for range in FIRST_TOOL_RANGE..RANGES_PER_INSTANCE {
        let new = NewTool { name: format!("tool-{range}").parse().unwrap(), owner };
        let tool = town.store.create_tool(&new, &PLATFORM).await.unwrap();
        assert_eq!(tool.range.0, range);
        town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    }
    let one_more = NewTool { name: "one-more".parse().unwrap(), owner };
    let spent = town.store.create_tool(&one_more, &PLATFORM).await;
    assert!(
        matches!(spent, Err(StoreError::Conflict(Conflict::RangesSpent(count))) if count == RANGES_PER_INSTANCE - FIRST_TOOL_RANGE),
        "{spent:?}"
    );
}

pub async fn the_first_production_branch_stays(town: &Town) {
    let tool = town.tool("wordcount").await;
    assert_eq!(tool.production_branch, None);
    assert_eq!(town.store.settle_production_branch(tool.id, "master").await.unwrap(), "master");
    assert_eq!(town.store.settle_production_branch(tool.id, "main").await.unwrap(), "master");
    assert_eq!(town.store.tool(tool.id).await.unwrap().production_branch.as_deref(), Some("master"));
    let nobody = town.store.settle_production_branch(ToolId::new(), "main").await;
    assert!(matches!(nobody, Err(StoreError::NotFound("tool"))));
}

pub async fn a_production_branch_that_is_set_takes_the_place_of_any_other(town: &Town) {
    let tool = town.tool("wordcount").await;
    let other = town.tool("other").await;
    town.store.set_production_branch(tool.id, "live", &PLATFORM).await.unwrap();
    assert_eq!(town.store.settle_production_branch(tool.id, "main").await.unwrap(), "live");
    town.store.set_production_branch(tool.id, "next/7", &PLATFORM).await.unwrap();
    assert_eq!(town.store.tool(tool.id).await.unwrap().production_branch.as_deref(), Some("next/7"));
    assert_eq!(town.store.tool(other.id).await.unwrap().production_branch, None, "nobody else's");

    let row = town.store.audit(Some(tool.id), 1).await.unwrap().remove(0);
    assert_eq!((row.action.as_str(), row.target.as_str()), ("tool.configure", "production branch next/7"));
    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    for gone in [tool.id, ToolId::new()] {
        let nobody = town.store.set_production_branch(gone, "main", &PLATFORM).await;
        assert!(matches!(nobody, Err(StoreError::NotFound("tool"))));
    }
}

pub async fn people_stop_start_and_restart_tools(town: &Town) {
    let tool = town.tool("wordcount").await;
    assert_eq!(tool.wanted, Wanted::Running);
    town.store.set_wanted(tool.id, Wanted::Stopped, &PLATFORM).await.unwrap();
    assert_eq!(town.store.tool(tool.id).await.unwrap().wanted, Wanted::Stopped);
    assert_eq!(town.store.ask_restart(tool.id, &PLATFORM).await.unwrap(), 1);
    assert_eq!(town.store.ask_restart(tool.id, &PLATFORM).await.unwrap(), 2);
    let now = town.store.tool(tool.id).await.unwrap();
    assert_eq!((now.wanted, now.restarts), (Wanted::Running, 2));
    let nobody = town.store.set_wanted(ToolId::new(), Wanted::Stopped, &PLATFORM).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("tool"))));
    let nobody = town.store.ask_restart(ToolId::new(), &PLATFORM).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("tool"))));
}
