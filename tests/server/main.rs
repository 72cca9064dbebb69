//! The HTTP server over loopback: every route, status and bad client.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::allow_attributes)]

mod bad_clients;
#[path = "../common/mod.rs"]
mod common;
mod equal;
mod http;
mod limits;
mod openai;
mod process;
mod stopping;
mod tei;
#[cfg(feature = "otlp")]
mod traces;

use std::path::PathBuf;

use rushlight::server::{AnyModel, Models, Server, ServerOptions};

/// Folders of the models that most tests serve, by name.
const MODELS: [(&str, &str); 5] = [
    ("sentence", "tiny/bert-mean-normalize"),
    ("reranker", "rerank/rerank-bert"),
    ("classifier", "rerank/rerank-bert-3-labels"),
    ("sparse", "sparse/splade-bert-max"),
    ("late", "multi_vector/multivector-native-bert"),
];

pub fn folder(case: &str) -> PathBuf {
    common::data().join(case).join("model")
}

pub fn options() -> ServerOptions {
    ServerOptions::default().with_port(0)
}

pub fn models() -> Models {
    let mut models = Models::default();
    for (name, case) in MODELS {
        models.add(name, AnyModel::from_dir(folder(case)).unwrap()).unwrap();
    }
    models
}

/// Serves one model of each kind.
pub fn serve(options: ServerOptions) -> Server {
    Server::start(models(), options).unwrap()
}
