//! The API door: `/api/v1` over the application layer, and the page at the platform's own address.
//!
//! Each route reads what was sent, calls one verb of [`app::App`] and writes the answer in the types of [`wire`]. It
//! decides nothing itself. Errors are problem+json (RFC 9457). Long answers (logs) are lines of JSON.

mod answer;
mod asker;
mod document;
mod page;
mod routes;
mod stream;
mod view;
pub mod wire;

pub use answer::Refused;
pub use routes::{openapi, router};
