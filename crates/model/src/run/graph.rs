//! Which steps a push gets, and which wait for which.

use super::StepKind;

/// A step and what must be done before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: StepKind,
    pub after: Vec<StepKind>,
}

/// The graph of a run: the production branch goes all the way, other branches end with a build. Tests come before the
/// build that is released.
pub fn graph(production: bool) -> Vec<Node> {
    let node = |kind, after: &[StepKind]| Node { kind, after: after.to_vec() };
    let mut nodes = vec![
        node(StepKind::Plan, &[]),
        node(StepKind::Test, &[StepKind::Plan]),
        node(StepKind::Build, &[StepKind::Test]),
    ];
    if production {
        nodes.push(node(StepKind::Release, &[StepKind::Build]));
        nodes.push(node(StepKind::Deploy, &[StepKind::Release]));
    }
    nodes
}

/// The graph of a rollback: its release is there already.
pub fn rollback_graph() -> Vec<Node> {
    vec![Node { kind: StepKind::Deploy, after: Vec::new() }]
}
