//! The application layer over a real store: who may ask, what is checked, what is kept, what is told.

extern crate windlass_app as app;

mod logs;
mod people;
mod pushes;
mod tools;
mod world;
