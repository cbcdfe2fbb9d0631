//! The words of Windlass and their laws: names, ids, digests, limits, places, problems. Pure: no IO, no async.
//!
//! Every other crate speaks in these types; start with [`name`] and [`run`](../model/run.rs).

pub mod authorization;
pub mod blob_part;
pub mod digest;
pub mod fault;
pub mod id;
pub mod instance;
pub mod limits;
pub mod log_stream;
pub mod name;
pub mod paths;
pub mod policy;
pub mod problem;
pub mod run;
pub mod sentence;
pub mod time;

pub use blob_part::BlobPart;
pub use digest::{DiffId, Digest};
pub use fault::Fault;
pub use id::{PushId, ReplicaId, RunId, StepId, TokenId, ToolId, UserId};
pub use instance::Instance;
pub use limits::Limits;
pub use log_stream::LogStream;
pub use name::{EnvironmentName, ProcessType, ToolName};
pub use paths::Paths;
pub use policy::{Action, Actor, Decision, Role, Scope, TokenScope};
pub use problem::Problem;
pub use time::Timestamp;
