//! Public HTTP traffic: one listener for the platform and its tools by host name.
//!
//! [`table`] is what it knows, [`control`] how serve tells it. A request goes through [`server`], [`service`] and
//! [`upstream`]; what is wrong becomes one of the [`pages`]. Every upstream connection serves one request, so nothing
//! of one request can be read as another.

mod access;
mod body;
pub mod control;
mod early;
mod file;
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod host;
mod listener;
mod pages;
mod server;
mod service;
pub mod table;
mod tables;
mod tunnel;
mod underway;
mod upstream;

#[cfg(test)]
mod tests;

pub use control::{Control, ControlError, Drained, Statistics};
pub use server::{Config, RouterError, serve};
pub use table::{Backend, Route, State, Table};
