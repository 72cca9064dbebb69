//! Fuzz targets. Each takes bytes, makes structured input of them, and panics where rushlight breaks a promise.
//!
//! A promise is never only "no panic". A folder, a text or a request gives a typed error, or finite rows that both
//! implementations of the operations agree on, alone and in a batch.
//!
//! `tests/suite/fuzz.rs` compiles these files, too, and runs the targets on the seeds.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::allow_attributes
)]

mod edits;
mod folder;
mod oracle;
mod targets;
mod texts;

pub use targets::{TARGETS, Target};
