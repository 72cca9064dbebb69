//! TEI's routes of sparse embeddings and similarities.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ModelInPath;
use super::dense::EmbedRequest;
use super::inputs::{Direction, OneInput, Reading, check_count};
use crate::server::app::App;
use crate::server::body::{Json, to_json};
use crate::server::compute::{Job, Watch, compute};
use crate::server::failure::{Failure, FailureKind};
use crate::server::metrics::Task;
use crate::server::models::{AnyModel, ModelKind};
use crate::{CallOptions, MatrixView, Similarity, vectors};

#[derive(Serialize)]
struct SparseValue {
    index: i32,
    value: f32,
}

/// Embeds texts: the weights of the vocabulary's tokens that aren't zero.
pub(super) async fn embed_sparse(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<EmbedRequest>,
) -> Result<Response, Failure> {
    embed_sparse_request(&app, &path, request).await
}

pub(super) async fn embed_sparse_request(
    app: &App,
    path: &ModelInPath,
    request: EmbedRequest,
) -> Result<Response, Failure> {
    let served = path.served(app, request.model.as_deref(), &[ModelKind::Sparse])?;
    let inputs = request.inputs.checked(app, "inputs")?;
    let reading = Reading::new(app, request.truncate, request.truncation_direction).named(request.prompt_name);
    reading.check(&inputs)?;
    let job = Job::embed(&inputs);
    compute(app, served, job, move |model, watch| {
        let AnyModel::Sparse(model) = model else {
            return Err(Failure::new(FailureKind::WrongModel, "model is not a sparse embedding model"));
        };
        let inputs: Vec<_> = inputs.iter().map(OneInput::as_input).collect();
        let rows = model.encode_inputs(&inputs, &reading.sparse(watch))?;
        let values = |(indices, values): (&[i32], &[f32])| {
            let pairs = indices.iter().zip(values.iter());
            pairs.map(|(index, value)| SparseValue { index: *index, value: *value }).collect::<Vec<_>>()
        };
        to_json(&rows.rows().map(values).collect::<Vec<_>>())
    })
    .await
}

/// Body of `POST /similarity`.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct SimilarityRequest {
    inputs: SimilarityInputs,
    #[serde(default)]
    parameters: SimilarityParameters,
    /// Name of a served model; the first that embeds by default.
    model: Option<String>,
}

/// Sentence to compare with others.
#[derive(Debug, Deserialize, ToSchema)]
struct SimilarityInputs {
    source_sentence: String,
    sentences: Vec<String>,
}

/// Options of a similarity.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct SimilarityParameters {
    /// Truncate long texts; the server's option by default.
    truncate: Option<bool>,
    truncation_direction: Option<Direction>,
    prompt_name: Option<String>,
}

/// Compares a sentence with others: the cosine of embeddings, or the model's own similarity of sparse and multi-vector ones.
pub(super) async fn similarity(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<SimilarityRequest>,
) -> Result<Response, Failure> {
    similarity_request(&app, &path, request).await
}

pub(super) async fn similarity_request(
    app: &App,
    path: &ModelInPath,
    request: SimilarityRequest,
) -> Result<Response, Failure> {
    let kinds = [ModelKind::Sentence, ModelKind::Sparse, ModelKind::MultiVector];
    let served = path.served(app, request.model.as_deref(), &kinds)?;
    let SimilarityInputs { source_sentence, sentences } = request.inputs;
    check_count(app, "sentences", sentences.len())?;
    if source_sentence.is_empty() || sentences.iter().any(String::is_empty) {
        return Err(Failure::empty("inputs"));
    }
    let SimilarityParameters { truncate, truncation_direction, prompt_name } = request.parameters;
    let reading = Reading::new(app, truncate, truncation_direction).named(prompt_name);
    let job = Job::new(Task::Embed, sentences.len() + 1);
    compute(app, served, job, move |model, watch| {
        to_json(&scores(model, watch, &reading, &source_sentence, &sentences)?)
    })
    .await
}

/// Returns the similarity of a sentence with each of the others.
fn scores(
    model: &AnyModel,
    watch: &Watch,
    reading: &Reading,
    source: &str,
    sentences: &[String],
) -> Result<Vec<f32>, Failure> {
    let call = CallOptions::default().with_observer(watch);
    let scores = match model {
        AnyModel::Sentence(model) => {
            let texts: Vec<_> = std::iter::once(source).chain(sentences.iter().map(String::as_str)).collect();
            let rows = model.encode(&texts, &reading.encode(watch))?;
            let (first, others) = rows.as_slice().split_at(rows.dim());
            let others = MatrixView::new(sentences.len(), rows.dim(), others)?;
            vectors::similarity(Similarity::Cosine, MatrixView::new(1, rows.dim(), first)?, others, &call)?
        }
        AnyModel::Sparse(model) => {
            let options = reading.sparse(watch);
            model.similarity_with(&model.encode(&[source], &options)?, &model.encode(sentences, &options)?, &call)?
        }
        AnyModel::MultiVector(model) => {
            let options = reading.multi_vector(watch);
            let query = model.encode_query(&[source], &options)?;
            model.similarity_with(&query, &model.encode_document(sentences, &options)?, &call)?
        }
        AnyModel::Reranker(_) => return Err(Failure::new(FailureKind::WrongModel, "model is not an embedding model")),
    };
    Ok(scores.into_vec())
}
