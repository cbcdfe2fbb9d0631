//! The line: plan → test → build → release → deploy, and the engine that moves runs along it.
//!
//! A station ([`plan`], [`test`], [`build`], [`release`], [`deploy`]) takes a step and gives its outcome; it may run twice and
//! never calls another station. [`engine`] alone claims steps and reports outcomes; what may follow what is
//! `model::run`'s table. [`layers`] looks after what is stored, [`replicas`] keeps what is deployed running, from wanted to seen; [`routes`] tells the
//! router. [`layers`] looks after what is stored; [`line`] holds what they all need.

pub mod base;
mod branch;
mod build;
pub mod chores;
mod clock;
mod deadline;
mod deploy;
pub mod engine;
pub mod layers;
pub mod line;
pub mod nudge;
mod plan;
mod release;
pub mod replicas;
pub mod repositories;
pub mod routes;
mod service;
pub mod settings;
mod size;
mod step_log;
mod test;

pub use line::Line;
pub use nudge::Nudge;
pub use settings::Settings;
