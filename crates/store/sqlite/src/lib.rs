//! The store on SQLite: one writer connection, a few readers, every commit on disk before it is acknowledged.
//!
//! One file per noun, with the same names as in `store`. [`Sqlite::open`] migrates; all queries are plain SQL, run by
//! the contract suite.

mod audit;
mod blobs;
mod columns;
mod environments;
mod fault;
mod images;
mod layers;
mod manifests;
mod members;
mod open;
mod queue;
mod quotas;
mod releases;
mod replicas;
mod repositories;
mod runs;
mod scrubs;
mod test_builds;
mod tokens;
mod tools;
mod uploads;
mod users;
mod words;
mod work;

pub use open::Sqlite;
