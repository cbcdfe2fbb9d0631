//! What is kept and what may go.

use super::town::{Town, diff_id, digest};
use crate::{BuildMemory, Conflict, Damage, DamageOutcome, Release, ReleaseState, StoreError, Tool};
use model::{DiffId, EnvironmentName, Timestamp, run::StepKind};
use serde_json::json;

/// A release of a run that has walked to its end.
async fn live(town: &Town, tool: &Tool, byte: u8, before: Option<u64>) -> Release {
    let release = finished(town, tool, byte).await;
    let production = EnvironmentName::production();
    town.store.set_current(tool.id, &production, release.number, before, release.run).await.unwrap();
    release
}

async fn finished(town: &Town, tool: &Tool, byte: u8) -> Release {
    let release = town.release(tool, byte).await;
    for kind in [StepKind::Plan, StepKind::Build, StepKind::Release, StepKind::Deploy] {
        town.walk(release.run, kind).await;
    }
    release
}

async fn states(town: &Town, tool: &Tool) -> Vec<ReleaseState> {
    let mut releases = town.store.releases_of(tool.id, 100, None).await.unwrap();
    releases.reverse();
    releases.iter().map(|release| release.state).collect()
}

async fn gone(town: &Town) -> Vec<DiffId> {
    let mut gone: Vec<_> = town.store.retire_layers(100).await.unwrap().iter().map(|l| l.diff_id).collect();
    gone.sort();
    gone
}

pub async fn old_releases_go_and_what_is_deployed_stays_however_old(town: &Town) {
    use ReleaseState::{Deployed, Made, Removed};
    let tool = town.tool("wordcount").await;
    live(town, &tool, 1, None).await;
    let current = live(town, &tool, 2, Some(1)).await;
    for byte in 3..=6 {
        finished(town, &tool, byte).await;
    }
    let removed = town.store.remove_releases(2).await.unwrap();
    assert_eq!(removed, [(tool.id, 3), (tool.id, 4)]);
    assert_eq!(states(town, &tool).await, [Deployed, Deployed, Removed, Removed, Made, Made]);
    assert!(town.store.remove_releases(2).await.unwrap().is_empty());
    assert_eq!(town.store.drop_images(10).await.unwrap(), 2);
    assert_eq!(town.store.drop_images(10).await.unwrap(), 0);
    assert_eq!(gone(town).await, [diff_id(3), diff_id(4)]);
    // Even with nothing kept by number, the current one and the one before it stay.
    town.store.remove_releases(0).await.unwrap();
    town.store.drop_images(10).await.unwrap();
    assert_eq!(states(town, &tool).await, [Deployed, Deployed, Removed, Removed, Removed, Removed]);
    let image = current.processes.values().next().unwrap().image;
    assert!(town.store.image(tool.id, &image).await.is_ok());
}

pub async fn a_release_of_an_open_run_is_kept(town: &Town) {
    let tool = town.tool("wordcount").await;
    let open = town.release(&tool, 1).await;
    assert!(town.store.remove_releases(0).await.unwrap().is_empty());
    assert_eq!(town.store.drop_images(10).await.unwrap(), 0);
    for kind in [StepKind::Plan, StepKind::Build, StepKind::Release, StepKind::Deploy] {
        town.walk(open.run, kind).await;
    }
    assert_eq!(town.store.remove_releases(0).await.unwrap(), [(tool.id, 1)]);
    assert_eq!(town.store.drop_images(10).await.unwrap(), 1);
    // The same image, built again by a newer run, is that run's.
    let again = town.push(&tool, "main", 9).await.run;
    town.image(tool.id, again, 1).await;
    assert_eq!(town.store.drop_images(10).await.unwrap(), 0);
}

pub async fn what_a_rollback_asks_for_is_kept_and_what_is_removed_cannot_be_asked_for(town: &Town) {
    let tool = town.tool("wordcount").await;
    live(town, &tool, 1, None).await;
    live(town, &tool, 2, Some(1)).await;
    live(town, &tool, 3, Some(2)).await;
    let by = town.store.members(tool.id).await.unwrap()[0].user.id;
    let rollback = town.store.record_rollback(tool.id, 1, by).await.unwrap();
    assert!(town.store.remove_releases(0).await.unwrap().is_empty());
    town.walk(rollback.run, StepKind::Deploy).await;
    assert_eq!(town.store.remove_releases(0).await.unwrap(), [(tool.id, 1)]);
    let refused = town.store.record_rollback(tool.id, 1, by).await;
    assert!(matches!(refused, Err(StoreError::NotFound("release"))));
}

pub async fn what_was_live_before_a_rollback_and_before_its_target_is_kept(town: &Town) {
    let tool = town.tool("wordcount").await;
    let production = EnvironmentName::production();
    live(town, &tool, 1, None).await;
    live(town, &tool, 2, Some(1)).await;
    let third = live(town, &tool, 3, Some(2)).await;
    town.store.set_current(tool.id, &production, 2, Some(3), third.run).await.unwrap();
    assert!(
        town.store.remove_releases(0).await.unwrap().is_empty(),
        "v2 is live; v3 was; v1 is the way back"
    );
}

pub async fn a_failed_release_gives_up_its_image(town: &Town) {
    let tool = town.tool("wordcount").await;
    let failed = finished(town, &tool, 1).await;
    town.store.release_failed(tool.id, failed.number).await.unwrap();
    assert_eq!(town.store.drop_images(10).await.unwrap(), 1);
    assert_eq!(states(town, &tool).await, [ReleaseState::Failed]);
}

pub async fn what_a_branch_remembers_is_kept_until_it_is_forgotten(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "feature", 1).await.run;
    let image = town.image(tool.id, run, 1).await.digest;
    let cache = town.layer(2).await.diff_id;
    let memory = BuildMemory { image, metadata: json!({}) };
    let name = "refs/heads/feature";
    town.store.remember_build(tool.id, name, &memory, &[cache]).await.unwrap();
    assert!(town.store.idle_builds().await.unwrap().is_empty(), "its run is open");
    town.walk(run, StepKind::Plan).await;
    town.walk(run, StepKind::Build).await;
    let idle = town.store.idle_builds().await.unwrap();
    assert_eq!((idle.len(), idle[0].tool, idle[0].ref_name.as_str()), (1, tool.id, name));
    assert_eq!(town.store.drop_images(10).await.unwrap(), 0);
    let outdated = crate::IdleBuild { at: Timestamp(idle[0].at.0 - 1), ..idle[0].clone() };
    town.store.forget_build(&outdated).await.unwrap();
    assert!(gone(town).await.is_empty(), "it was built again since");
    town.store.forget_build(&idle[0]).await.unwrap();
    assert_eq!(town.store.drop_images(10).await.unwrap(), 1);
    assert_eq!(gone(town).await, [diff_id(1), cache]);
    assert_eq!(town.store.last_build(tool.id, name).await.unwrap(), None);
}

pub async fn what_tests_left_is_found_again_and_forgotten_by_itself(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    let (main, idea) = ("refs/heads/main", "refs/heads/idea");
    let cache = town.layer(2).await.diff_id;
    assert_eq!(town.store.last_test_build(tool.id, main).await.unwrap(), None);
    town.store.remember_test_build(tool.id, idea, &json!("idea"), &[cache]).await.unwrap();
    assert_eq!(town.store.last_test_build(tool.id, main).await.unwrap(), Some(json!("idea")));
    town.store.remember_test_build(tool.id, main, &json!("main"), &[]).await.unwrap();
    assert_eq!(town.store.last_test_build(tool.id, main).await.unwrap(), Some(json!("main")));
    let missing = town.store.remember_test_build(tool.id, main, &json!("lost"), &[diff_id(9)]).await;
    assert!(matches!(missing, Err(StoreError::Conflict(Conflict::LayerMissing(_)))));
    assert!(gone(town).await.is_empty());

    assert_eq!(town.store.pass_of(tool.id, &digest(5)).await.unwrap(), None);
    town.store.remember_pass(tool.id, &digest(5), run).await.unwrap();
    town.store.remember_pass(tool.id, &digest(5), run).await.unwrap();
    assert_eq!(town.store.pass_of(tool.id, &digest(5)).await.unwrap(), Some(run));
    let neighbour = town.tool("neighbour").await;
    assert_eq!(town.store.pass_of(neighbour.id, &digest(5)).await.unwrap(), None);
    for byte in 100..100 + u8::try_from(crate::KEPT_PASSES).unwrap() {
        town.store.remember_pass(tool.id, &digest(byte), run).await.unwrap();
    }
    assert_eq!(town.store.pass_of(tool.id, &digest(5)).await.unwrap(), None, "the oldest is given up");

    assert!(town.store.idle_builds().await.unwrap().is_empty(), "a run is open");
    for kind in [StepKind::Plan, StepKind::Build, StepKind::Release, StepKind::Deploy] {
        town.walk(run, kind).await;
    }
    let idle = town.store.idle_builds().await.unwrap();
    let names: Vec<_> = idle.iter().map(|build| (build.ref_name.as_str(), build.for_tests)).collect();
    assert_eq!(names, [(idea, true), (main, true)]);
    town.store.forget_build(&crate::IdleBuild { for_tests: false, ..idle[0].clone() }).await.unwrap();
    assert!(gone(town).await.is_empty(), "that was of another kind of build");
    town.store.forget_build(&idle[0]).await.unwrap();
    assert_eq!(gone(town).await, [cache]);
}

pub async fn layers_are_stored_and_held_at_once(town: &Town) {
    let old = town.layer(1).await;
    assert_eq!(gone(town).await, [old.diff_id]);
    town.store.add_layers(std::slice::from_ref(&old), "sandbox:a").await.unwrap();
    assert!(gone(town).await.is_empty());
    assert_eq!(town.store.holders_of(&old.diff_id).await.unwrap(), ["sandbox:a"]);
    assert_eq!(
        town.store.unknown_layers(&[old.diff_id, diff_id(9)]).await.unwrap(),
        [diff_id(9)],
        "one without a row"
    );
    let totals = town.store.layer_totals().await.unwrap();
    assert_eq!((totals.layers, totals.tree_bytes, totals.blob_bytes), (1, 100, 10));
}

pub async fn a_scrub_looks_at_each_layer_once_and_what_is_refused_cannot_be_held(town: &Town) {
    let tool = town.tool("wordcount").await;
    let release = live(town, &tool, 1, None).await;
    let other = town.layer(2).await;
    town.store.hold_layers("base:run", &[other.diff_id]).await.unwrap();
    assert_eq!(town.store.last_scrub().await.unwrap(), None);
    let number = town.store.begin_scrub(&super::town::PLATFORM).await.unwrap();
    assert_eq!(town.store.begin_scrub(&super::town::PLATFORM).await.unwrap(), number, "one at a time");
    let scrub = town.store.last_scrub().await.unwrap().unwrap();
    assert_eq!((scrub.asked_by, scrub.ended_at, scrub.layers), (None, None, 0));
    let waiting = town.store.layers_to_check(scrub.began_at, 10).await.unwrap();
    assert_eq!(waiting.len(), 2);
    let users = town.store.users_of(&diff_id(1).0).await.unwrap();
    assert_eq!(users, ["wordcount v1"]);
    let image = release.processes.values().next().unwrap().image;
    assert_eq!(town.store.users_of(&image).await.unwrap(), users);
    let damage = Damage {
        subject: diff_id(1).0,
        found: vec!["`app.py` has other content".to_owned()],
        users,
        outcome: DamageOutcome::Refused,
        at: Timestamp(Timestamp::now().0),
    };
    town.store.layer_checked(number, &diff_id(1), 100, Some(&damage)).await.unwrap();
    town.store.layer_checked(number, &other.diff_id, 10, None).await.unwrap();
    town.store.blobs_checked(number, 3, 1, &[]).await.unwrap();
    assert!(town.store.layers_to_check(scrub.began_at, 10).await.unwrap().is_empty());
    let refused = town.store.hold_layers("sandbox:a", &[diff_id(1)]).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::LayerMissing(id))) if id == diff_id(1)));
    town.layer(1).await;
    town.store.hold_layers("sandbox:a", &[diff_id(1)]).await.unwrap();
    town.store.end_scrub(number).await.unwrap();
    let scrub = town.store.scrub(number).await.unwrap();
    assert_eq!((scrub.layers, scrub.blobs, scrub.read_bytes), (2, 3, 111));
    assert_eq!(scrub.damages, [damage]);
    assert!(scrub.ended_at.is_some());
    // Whoever comes upon a damage makes that everything is looked at, its layer first.
    town.store.doubt_blob(&other.blob).await.unwrap();
    let next = town.store.last_scrub().await.unwrap().unwrap();
    assert!(next.number > number && next.ended_at.is_none());
    let first = &town.store.layers_to_check(next.began_at, 1).await.unwrap()[0];
    assert_eq!(first.diff_id, other.diff_id);
    town.store.doubt_blob(&super::town::digest(78)).await.unwrap();
    assert_eq!(town.store.begin_scrub(&super::town::PLATFORM).await.unwrap(), next.number, "the same pass");
    assert_eq!(town.store.layer_blobs(&[other.blob, super::town::digest(77)]).await.unwrap(), [other.blob]);
}
