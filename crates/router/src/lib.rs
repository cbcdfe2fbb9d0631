//! Public HTTP traffic: one listener for the platform and its tools by host name.
//!
//! [`table`] is what it knows, [`control`] how serve tells it.

pub mod control;
pub mod table;

pub use control::{Control, ControlError};
pub use table::{Backend, Route, State, Table};
