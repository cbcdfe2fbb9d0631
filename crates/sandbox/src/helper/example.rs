//! Ordinary requests, for tests to change one thing in.

use crate::request::{Kind, LayerRef, Network, SandboxSpec};
use egress::{HostRule, Policy};
use model::Limits;
use model::instance::RangeIndex;

pub(crate) fn spec(kind: Kind) -> SandboxSpec {
    let layer = format!("sha256:{}", "1".repeat(64));
    let host = HostRule { host: "pypi.org".to_owned(), ports: Vec::new() };
    let policy = Policy { hosts: vec![host], ..Policy::default() };
    SandboxSpec {
        id: "one".parse().expect("an id"),
        kind,
        range: RangeIndex(16),
        layers: vec![LayerRef::Published(layer.parse().expect("a digest"))],
        argv: vec!["/cnb/process/web".to_owned()],
        env: vec![("PORT".to_owned(), "8000".to_owned())],
        cwd: "/workspace".to_owned(),
        user_id: 1000,
        group_id: 1000,
        limits: match kind {
            Kind::Build => Limits::BUILD,
            Kind::Service => Limits::SERVICE,
            Kind::Task => Limits::TASK,
        },
        network: if kind == Kind::Build { Network::Egress(policy) } else { Network::Tool },
        ca_bundle: kind == Kind::Build,
    }
}
