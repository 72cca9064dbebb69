//! TEI's route `POST /`, which does what the model is for. Clients of Hugging Face use it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ModelInPath;
use super::dense::embed_request;
use super::predict::predict_request;
use super::rerank::rerank_request;
use super::sparse::{embed_sparse_request, similarity_request};
use crate::server::access::RequestId;
use crate::server::app::App;
use crate::server::body::Json;
use crate::server::failure::{Failure, FailureKind};
use crate::server::models::ModelKind;

/// Does what the body asks for: a ranking of texts for a query, similarities, or the task of the first model.
pub(super) async fn root(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Extension(id): Extension<RequestId>,
    Json(body): Json<Value>,
) -> Result<Response, Failure> {
    if body.get("query").is_some() {
        return rerank_request(&app, &path, id, parsed(body)?).await;
    }
    if body.pointer("/inputs/source_sentence").is_some() {
        return similarity_request(&app, &path, parsed(body)?).await;
    }
    let named = path.or(body.get("model").and_then(Value::as_str));
    let kind = match named {
        Some(name) => app.models.find(name).ok_or_else(|| app.unknown_model(name))?.facts.kind,
        None => app.models.iter().next().map_or(ModelKind::Sentence, |served| served.facts.kind),
    };
    match kind {
        ModelKind::Sparse => embed_sparse_request(&app, &path, parsed(body)?).await,
        ModelKind::Reranker | ModelKind::Classifier => predict_request(&app, &path, parsed(body)?).await,
        ModelKind::Sentence | ModelKind::MultiVector => embed_request(&app, &path, parsed(body)?).await,
    }
}

fn parsed<T: DeserializeOwned>(body: Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let path = error.path().to_string();
        Failure::of(FailureKind::Validation, path, error.into_inner())
    })
}
