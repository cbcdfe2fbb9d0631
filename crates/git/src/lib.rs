//! The git door: smart HTTP push and clone by the git program, and the hooks that speak to serve.
//!
//! [`door`] answers git clients; [`hook`] runs inside the git process and relays to [`gate`] in serve, where a push is
//! judged, recorded and followed through the [`Platform`] that serve gives. [`repository`] is everything else that is
//! asked of a bare repository. The engine moves refs, not git: a branch names what is live (docs/git.md).

pub mod door;
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod hook;
pub mod pktline;
pub mod platform;
pub mod repository;
pub mod settings;

pub use door::Door;
pub use gate::Gate;
pub use platform::{Access, Arrival, Command, Grant, Lines, Platform, Refusal, Verdict};
pub use repository::Repositories;
