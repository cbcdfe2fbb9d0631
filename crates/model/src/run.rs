//! What a push sets off: a run is a small graph of steps, and this is the only place that says what may follow what.
//!
//! [`next`] is a pure table: the view of a run and one event in, the changes that follow out. The store applies them
//! in one transaction; push output, CLI and pages are drawn from the same rows. States and graph: [`state`],
//! [`graph`]; the table itself: [`table`]; who goes before whom: [`turn`].

mod graph;
mod state;
mod table;
mod turn;

pub use graph::{Node, graph, rollback_graph};
pub use state::{CancelReason, Cause, Outcome, RunState, StepKind, StepState};
pub use table::{Change, Event, Illegal, MAX_ATTEMPTS, RunView, StepView, next, retry_delay};
pub use turn::{Lane, OnNewPush};

#[cfg(test)]
mod tests;
