//! Tests of the library, in one program: each program of its own would link all of candle again.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::allow_attributes
)]

#[path = "../common/mod.rs"]
mod common;

mod adapters;
mod assembly;
mod bad_families;
mod bad_models;
mod chat_templates;
mod config_variants;
mod conversion;
mod families;
#[cfg(feature = "server")]
mod fuzz;
mod golden;
mod hybrid;
mod images;
mod inputs;
mod late_chunks;
mod loading;
mod model;
mod multi_vector;
mod oracle;
mod packed;
mod precision;
mod published_code;
mod reranker;
mod routes;
mod saving;
mod saving_at_once;
mod sparse;
mod static_models;
mod streams;
mod table;
mod tasks;
mod together;
mod tokenizers;
mod weights;
mod whole_models;
