//! From the application's rows to the wire's types.

use crate::wire;
use app::{
    App,
    identity::WhoAmI,
    releases::{DeploymentView, ReleaseView},
    rollbacks::RollbackView,
    runs::RunView,
    storage::StorageView,
    tools::{StatusView, ToolView},
};
use model::{
    Timestamp,
    run::{RunState, StepKind, StepState},
};
use serde::Deserialize as _;
use store::{DamageOutcome, Release, ReplicaState, Run, Scrub, Step, Wanted};

pub(crate) fn identity(who: &WhoAmI) -> wire::Identity {
    wire::Identity {
        user: who.user.name.clone(),
        operator: who.user.operator,
        only_tool: who.only_tool.clone(),
        token: who.token.id.to_string(),
        token_expires: who.token.expires_at.map(Timestamp::rfc3339),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(crate) fn token(token: &store::Token) -> wire::Token {
    wire::Token {
        id: token.id.to_string(),
        label: token.label.clone(),
        created: token.created_at.rfc3339(),
        used: token.used_at.map(Timestamp::rfc3339),
        expires: token.expires_at.map(Timestamp::rfc3339),
    }
}

pub(crate) fn user(user: &store::User) -> wire::User {
    wire::User { name: user.name.clone(), operator: user.operator, created: user.created_at.rfc3339() }
}

pub(crate) fn member(member: &store::Member) -> wire::Member {
    wire::Member { user: member.user.name.clone(), role: member.role, since: member.since.rfc3339() }
}

pub(crate) fn tool(app: &App, view: &ToolView) -> wire::Tool {
    let tool = &view.tool;
    wire::Tool {
        id: tool.id.to_string(),
        name: tool.name.clone(),
        url: app.addresses().tool(&tool.name),
        git_url: app.addresses().repository(&tool.name),
        production_branch: tool.production_branch.clone(),
        on_new_push: tool.on_new_push,
        wanted: match tool.wanted {
            Wanted::Running => "running".to_owned(),
            Wanted::Stopped => "stopped".to_owned(),
        },
        role: view.role,
        created: tool.created_at.rfc3339(),
    }
}

pub(crate) fn status(app: &App, view: &StatusView) -> wire::Status {
    wire::Status {
        tool: tool(app, &view.tool),
        state: view.state.as_str().to_owned(),
        release: view.release.as_ref().map(|current| wire::CurrentRelease {
            number: current.number,
            commit: current.commit.clone(),
            processes: images(current),
            created: current.created_at.rfc3339(),
        }),
        last_run: view.last_run.as_ref().map(|last| run(last, None, &[])),
        replicas: view.replicas.iter().map(replica).collect(),
    }
}

fn replica(replica: &store::Replica) -> wire::Replica {
    wire::Replica {
        process: replica.process.clone(),
        release: replica.release,
        state: match replica.state {
            ReplicaState::Starting => "starting",
            ReplicaState::Healthy => "healthy",
            ReplicaState::Draining => "draining",
            ReplicaState::Ended => "ended",
        }
        .to_owned(),
        since: replica.created_at.rfc3339(),
    }
}

fn images(release: &Release) -> std::collections::BTreeMap<model::ProcessType, String> {
    let image = |process: &store::ReleaseProcess| process.image.to_string();
    release.processes.iter().map(|(name, process)| (name.clone(), image(process))).collect()
}

pub(crate) fn run_view(view: &RunView, steps: &[Step]) -> wire::Run {
    run(&view.run, Some(view.by.clone()), steps)
}

fn run(run: &Run, by: Option<String>, steps: &[Step]) -> wire::Run {
    wire::Run {
        number: run.number,
        state: run.state.as_str().to_owned(),
        reference: run.ref_name.clone(),
        commit: run.commit.clone(),
        rollback_to: run.rollback_to,
        by,
        ending: run.cancel.is_some() && !run.state.is_final(),
        superseded_by: run
            .superseded_by
            .filter(|_| run.state == RunState::Superseded || !run.state.is_final()),
        waits_for: run.waits_for,
        created: run.created_at.rfc3339(),
        ended: run.ended_at.map(Timestamp::rfc3339),
        milliseconds: milliseconds(run.created_at, run.ended_at.unwrap_or_else(Timestamp::now)),
        steps: steps.iter().map(step).collect(),
    }
}

fn step(step: &Step) -> wire::Step {
    let running = matches!(step.state, StepState::Running);
    let until = step.ended_at.or_else(|| running.then(Timestamp::now));
    wire::Step {
        name: step.kind.as_str().to_owned(),
        state: step.state.as_str().to_owned(),
        started: step.started_at.map(Timestamp::rfc3339),
        milliseconds: step.started_at.zip(until).map(|(from, until)| milliseconds(from, until)),
        faults: step.faults,
        // A station puts its one line for people beside what later steps read.
        summary: step.outputs.as_ref().and_then(|outputs| outputs.get("line")?.as_str().map(str::to_owned)),
        problem: match &step.state {
            StepState::Failed { problem, .. } => Some(problem.clone()),
            _ => None,
        },
        // What a step without tests says is its summary.
        tests: step
            .outputs
            .as_ref()
            .filter(|outputs| step.kind == StepKind::Test && outputs.get("runner").is_some())
            .and_then(|outputs| wire::Tests::deserialize(outputs).ok()),
    }
}

pub(crate) fn release(view: &ReleaseView) -> wire::Release {
    let release = &view.release;
    wire::Release {
        number: release.number,
        run: view.run,
        commit: release.commit.clone(),
        processes: images(release),
        state: match release.state {
            store::ReleaseState::Made => "made",
            store::ReleaseState::Deployed => "deployed",
            store::ReleaseState::Failed => "failed",
            store::ReleaseState::Removed => "removed",
        }
        .to_owned(),
        current: view.current,
        created: release.created_at.rfc3339(),
        deployed: view.deployed.map(Timestamp::rfc3339),
    }
}

pub(crate) fn deployment(view: &DeploymentView) -> wire::Deployment {
    wire::Deployment {
        release: view.deployment.release,
        at: view.deployment.at.rfc3339(),
        run: view.deployment.run,
        by: view.by.clone(),
        rollback: view.deployment.rollback,
        from: view.from,
    }
}

pub(crate) fn rollback(view: &RollbackView, url: String) -> wire::Rollback {
    wire::Rollback {
        run: run_view(&view.run, &[]),
        release: view.release.number,
        from: view.from,
        superseded: view.superseded.clone(),
        url,
    }
}

fn milliseconds(from: Timestamp, until: Timestamp) -> u64 {
    u64::try_from(until.since(from).as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn storage(view: &StorageView) -> wire::Storage {
    wire::Storage {
        layers: view.totals.layers,
        tree_bytes: view.totals.tree_bytes,
        blob_bytes: view.totals.blob_bytes,
        trashed: view.trashed.trees,
        trashed_bytes: view.trashed.bytes,
        replaced: view.replaced.trees,
        replaced_bytes: view.replaced.bytes,
        disk_bytes: view.disk_bytes,
        free_bytes: view.free_bytes,
        free_files: view.free_files,
        reserve_bytes: view.limits.reserve_bytes,
        max_bytes: view.limits.max_bytes,
        scrub: view.scrub.as_ref().map(scrub),
    }
}

pub(crate) fn scrub(scrub: &Scrub) -> wire::Scrub {
    let damages = scrub.damages.iter().map(|damage| wire::Damage {
        subject: damage.subject.to_string(),
        found: damage.found.clone(),
        users: damage.users.clone(),
        outcome: match damage.outcome {
            DamageOutcome::Repaired => "repaired",
            DamageOutcome::Refused => "refused",
        }
        .to_owned(),
        at: damage.at.rfc3339(),
    });
    wire::Scrub {
        number: scrub.number,
        began: scrub.began_at.rfc3339(),
        ended: scrub.ended_at.map(Timestamp::rfc3339),
        layers: scrub.layers,
        blobs: scrub.blobs,
        read_bytes: scrub.read_bytes,
        damages: damages.collect(),
    }
}
