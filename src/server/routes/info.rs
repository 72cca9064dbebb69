//! Routes that tell of the server: its models, its health, its metrics.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ModelInPath;
use crate::process;
use crate::server::app::App;
use crate::server::body::answer;
use crate::server::failure::{Failure, FailureKind};
use crate::server::models::{AnyModel, ModelKind, Served};
use crate::{EncodeOptions, MultiVectorOptions, PredictOptions, Role, SparseOptions};

/// Describes a model and the limits, as TEI does: the model in the path, else the first.
pub(super) async fn info(State(app): State<Arc<App>>, path: ModelInPath) -> Result<Response, Failure> {
    let served = match path.0 {
        Some(name) => app.models.find(&name).ok_or_else(|| app.unknown_model(&name))?,
        None => app.models.iter().next().ok_or_else(|| app.unknown_model(""))?,
    };
    let model = served.model().await?;
    let (facts, options) = (&served.facts, &app.options);
    answer(&json!({
        "model_id": served.name,
        "model_sha": revision(&facts.folder),
        "model_dtype": facts.dtype.to_string(),
        "model_type": model_type(served, &model),
        "served_model_name": served.name,
        "max_concurrent_requests": options.max_concurrent_requests,
        "max_input_length": facts.max_length.unwrap_or(options.max_batch_tokens),
        "max_batch_tokens": options.max_batch_tokens,
        "max_batch_requests": facts.max_batch_texts,
        "max_client_batch_size": options.max_client_batch_size,
        "auto_truncate": options.auto_truncate,
        "tokenization_workers": process::num_threads()?,
        "version": env!("CARGO_PKG_VERSION"),
        "models": app.models.names(),
    }))
}

/// Returns the commit of a folder in the Hugging Face cache.
fn revision(folder: &Path) -> Option<&str> {
    let is_snapshot = folder.parent()?.file_name()? == "snapshots";
    is_snapshot.then(|| folder.file_name()?.to_str()).flatten()
}

fn model_type(served: &Served, model: &AnyModel) -> Value {
    let labels = &served.facts.labels;
    let classes = || {
        json!({
            "id2label": labels.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label))).collect::<serde_json::Map<_, _>>(),
            "label2id": labels.iter().enumerate().map(|(id, label)| (label.clone(), json!(id))).collect::<serde_json::Map<_, _>>(),
        })
    };
    match served.facts.kind {
        ModelKind::Sentence => json!({ "embedding": { "pooling": pooling(model) } }),
        ModelKind::Sparse => json!({ "embedding": { "pooling": "splade" } }),
        ModelKind::MultiVector => json!({ "embedding": { "pooling": "none" } }),
        ModelKind::Classifier => json!({ "classifier": classes() }),
        ModelKind::Reranker => json!({ "reranker": classes() }),
    }
}

/// Returns the pooling in TEI's words.
fn pooling(model: &AnyModel) -> String {
    let AnyModel::Sentence(model) = model else { return "none".to_owned() };
    let entries = model.engine.loaded.folders.entries.iter().flatten();
    let modes = entries.filter_map(|entry| entry.pooling.as_ref()).flat_map(|pooling| &pooling.modes);
    let names: Vec<_> = modes.map(ToString::to_string).collect();
    match names.join("+").as_str() {
        "" => "mean".to_owned(),
        "lasttoken" => "last_token".to_owned(),
        names => names.to_owned(),
    }
}

/// Answers 200 when every model computes. A model that has just computed isn't asked again.
pub(super) async fn health(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    if app.is_draining() {
        return Err(Failure::new(FailureKind::Unhealthy, "the server is shutting down"));
    }
    for served in app.models.iter() {
        if !served.is_healthy() && !probe(served).await {
            return Err(Failure::new(FailureKind::Unhealthy, format!("model {:?} doesn't compute", served.name)));
        }
    }
    Ok(StatusCode::OK.into_response())
}

/// Computes a word. Returns false if that fails, or takes too long.
pub(in crate::server) async fn probe(served: &Arc<Served>) -> bool {
    const PATIENCE: Duration = Duration::from_secs(10);
    let Ok(model) = served.model().await else { return false };
    let computed = tokio::task::spawn_blocking(move || compute_word(&model).is_ok());
    let is_healthy = matches!(tokio::time::timeout(PATIENCE, computed).await, Ok(Ok(true)));
    served.healthy.store(is_healthy, std::sync::atomic::Ordering::Relaxed);
    is_healthy
}

fn compute_word(model: &AnyModel) -> crate::Result<()> {
    const WORD: [&str; 1] = ["health"];
    match model {
        AnyModel::Sentence(model) => model.encode(&WORD, &EncodeOptions::default()).map(|_| ()),
        AnyModel::Reranker(model) => model.predict(&[(WORD[0], WORD[0])], &PredictOptions::default()).map(|_| ()),
        AnyModel::Sparse(model) => model.encode(&WORD, &SparseOptions::default().with_role(Role::Document)).map(|_| ()),
        AnyModel::MultiVector(model) => model.encode_document(&WORD, &MultiVectorOptions::default()).map(|_| ()),
    }
}

/// Returns the metrics as Prometheus reads them.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, text)], app.metrics.text()).into_response()
}
