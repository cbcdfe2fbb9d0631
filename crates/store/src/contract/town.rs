//! A store with people in it, so that cases read as stories.

use crate::{
    ClaimedStep, Claiming, Image, ImageLayer, Layer, NewPush, NewRelease, NewTool, Recorded, Release,
    ReleaseProcess, Run, Step, Store, Tool, User,
};
use model::{
    Actor, DiffId, Digest, ProcessType, PushId, RunId, Timestamp, ToolId,
    run::{Lane, OnNewPush, Outcome, StepKind},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The lease of claims in cases.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// Who does what nobody in particular does.
pub(super) const PLATFORM: Actor = Actor::Platform;

/// A store and the words to fill it.
pub struct Town {
    pub store: Arc<dyn Store>,
}

impl Town {
    pub async fn user(&self, name: &str) -> User {
        self.store.create_user(name, &PLATFORM).await.unwrap()
    }

    /// Of an owner with the same name, made with it.
    pub async fn tool(&self, name: &str) -> Tool {
        let owner = self.user(name).await.id;
        self.store.create_tool(&NewTool { name: name.parse().unwrap(), owner }, &PLATFORM).await.unwrap()
    }

    /// Of the tool's first owner, to this branch; production when it is `main`.
    pub async fn new_push(&self, tool: &Tool, branch: &str, commit: u8) -> NewPush {
        let by = self.store.members(tool.id).await.unwrap()[0].user.id;
        NewPush {
            id: PushId::new(),
            tool: tool.id,
            ref_name: format!("refs/heads/{branch}"),
            old: None,
            commit: format!("{commit:02x}").repeat(20),
            by,
            production: branch == "main",
            on_new_push: OnNewPush::Supersede,
            lane: Lane::People,
        }
    }

    pub async fn push(&self, tool: &Tool, branch: &str, commit: u8) -> Recorded {
        self.store.record_push(&self.new_push(tool, branch, commit).await).await.unwrap()
    }

    /// A claim far in the future, so that nothing still waits for its retry.
    pub fn claiming(&self) -> Claiming<'static> {
        let now = Timestamp::now().plus(Duration::from_hours(1));
        Claiming { worker: "case", now, lease: LEASE, per_tool: 100, per_machine: 100 }
    }

    /// The next step; there must be one.
    pub async fn claim(&self) -> ClaimedStep {
        self.store.claim_step(&self.claiming()).await.unwrap().unwrap()
    }

    /// Claims the next step, which must be this one, and ends it well. A plan finds no tests.
    pub async fn walk(&self, run: RunId, kind: StepKind) {
        let step = self.claim().await;
        assert_eq!((step.run, step.kind), (run, kind));
        let no_tests = (StepKind::Test, json!({ "kind": "test" }));
        let idle = (kind == StepKind::Plan).then_some(no_tests).into_iter().collect();
        let outcome = Outcome::Done { outputs: json!({ "kind": kind.as_str() }), idle };
        self.store.finish_step(&step.claim, &outcome).await.unwrap();
    }

    pub async fn run(&self, run: RunId) -> Run {
        self.store.run(run).await.unwrap()
    }

    /// `running: done ready blocked blocked`
    pub async fn states(&self, run: RunId) -> String {
        let steps = self.store.steps_of(run).await.unwrap();
        let words: Vec<_> = steps.iter().map(|step| step.state.as_str()).collect();
        format!("{}: {}", self.run(run).await.state, words.join(" "))
    }

    pub async fn step(&self, run: RunId, kind: StepKind) -> Step {
        self.store.steps_of(run).await.unwrap().into_iter().find(|step| step.kind == kind).unwrap()
    }

    pub async fn layer(&self, byte: u8) -> Layer {
        let layer = Layer { diff_id: diff_id(byte), blob: digest(byte), blob_bytes: 10, tree_bytes: 100 };
        self.store.add_layer(&layer).await.unwrap();
        layer
    }

    /// An image of one layer.
    pub async fn image(&self, tool: ToolId, run: RunId, byte: u8) -> Image {
        let layer = self.layer(byte).await;
        let layer = ImageLayer { diff_id: layer.diff_id, blob: layer.blob, size_bytes: layer.blob_bytes };
        let image = Image {
            digest: digest(byte),
            tool,
            run,
            config: digest(byte ^ 0xff),
            layers: vec![layer],
            created_at: Timestamp::now(),
        };
        self.store.put_image(&image).await.unwrap();
        image
    }

    /// A release of a new image, made by a new run of the tool.
    pub async fn release(&self, tool: &Tool, byte: u8) -> Release {
        let run = self.push(tool, "main", byte).await.run;
        let image = self.image(tool.id, run, byte).await.digest;
        self.store.create_release(&new_release(tool.id, run, image)).await.unwrap()
    }
}

pub(super) fn new_release(tool: ToolId, run: RunId, image: Digest) -> NewRelease {
    let command = vec!["/cnb/process/web".to_owned()];
    let processes = BTreeMap::from([(ProcessType::web(), ReleaseProcess { image, command })]);
    NewRelease { tool, run, processes, config: json!({ "health": "/" }) }
}

pub(super) fn done(outputs: Value) -> Outcome {
    Outcome::done(outputs)
}

pub(super) fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

pub(super) fn diff_id(byte: u8) -> DiffId {
    DiffId(digest(byte))
}
