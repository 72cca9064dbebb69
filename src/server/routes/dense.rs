//! TEI's routes of dense embeddings: one vector per text, or per token.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ModelInPath;
use super::inputs::{Direction, Inputs, OneInput, Reading};
use crate::server::app::App;
use crate::server::body::{Json, to_json};
use crate::server::compute::{Job, compute};
use crate::server::failure::{Failure, FailureKind};
use crate::server::models::{AnyModel, ModelKind, Served};
use crate::{Model, Role};

/// Body of `POST /embed`, `/embed_all` and `/embed_sparse`.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct EmbedRequest {
    pub(super) inputs: Inputs,
    /// Divide each embedding by its L2 norm; true by default.
    normalize: Option<bool>,
    /// Truncate long texts; the server's option by default.
    pub(super) truncate: Option<bool>,
    /// Side that truncation removes; the tokenizer's by default.
    pub(super) truncation_direction: Option<Direction>,
    /// Name of one of the model's prompts.
    pub(super) prompt_name: Option<String>,
    /// Columns to keep.
    dimensions: Option<usize>,
    /// Name of a served model; the first of the right kind by default.
    pub(super) model: Option<String>,
}

/// Returns the sentence embedding model of a route that needs one.
pub(super) fn sentence_model(model: &AnyModel) -> Result<&Model, Failure> {
    match model {
        AnyModel::Sentence(model) => Ok(model),
        _ => Err(Failure::new(FailureKind::WrongModel, "model is not an embedding model")),
    }
}

pub(super) fn check_dimensions(served: &Served, dimensions: Option<usize>) -> Result<(), Failure> {
    let (Some(dimensions), Some(max)) = (dimensions, served.facts.dimension) else { return Ok(()) };
    if (1..=max).contains(&dimensions) {
        return Ok(());
    }
    Err(Failure::invalid("dimensions", format!("must be from 1 to {max}, got {dimensions}")))
}

/// Embeds texts: one vector each.
pub(super) async fn embed(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<EmbedRequest>,
) -> Result<Response, Failure> {
    embed_request(&app, &path, request).await
}

pub(super) async fn embed_request(app: &App, path: &ModelInPath, request: EmbedRequest) -> Result<Response, Failure> {
    let served = path.served(app, request.model.as_deref(), &[ModelKind::Sentence])?;
    let inputs = request.inputs.checked(app, "inputs")?;
    check_dimensions(served, request.dimensions)?;
    let reading = Reading::new(app, request.truncate, request.truncation_direction).named(request.prompt_name);
    reading.check(&inputs)?;
    let normalize = request.normalize.unwrap_or(true);
    let job = Job::embed(&inputs);
    compute(app, served, job, move |model, watch| {
        let inputs: Vec<_> = inputs.iter().map(OneInput::as_input).collect();
        let options = reading.encode(watch).with_normalize_embeddings(normalize).with_truncate_dim(request.dimensions);
        let rows = sentence_model(model)?.encode_inputs(&inputs, &options)?;
        to_json(&rows.rows().collect::<Vec<_>>())
    })
    .await
}

/// Embeds texts: a vector for each token, before pooling, or that of late interaction.
pub(super) async fn embed_all(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<EmbedRequest>,
) -> Result<Response, Failure> {
    let kinds = [ModelKind::Sentence, ModelKind::MultiVector];
    let served = path.served(&app, request.model.as_deref(), &kinds)?;
    let inputs = request.inputs.checked(&app, "inputs")?;
    let reading = Reading::new(&app, request.truncate, request.truncation_direction).named(request.prompt_name);
    reading.check(&inputs)?;
    let job = Job::embed(&inputs);
    compute(&app, served, job, move |model, watch| {
        let inputs: Vec<_> = inputs.iter().map(OneInput::as_input).collect();
        if let AnyModel::MultiVector(model) = model {
            let is_query = reading.prompt_name.as_deref() == Some("query");
            let role = if is_query { Role::Query } else { Role::Document };
            let (texts, _) = model.encode_inputs(&inputs, role, &reading.multi_vector(watch))?;
            let rows = texts.iter().map(|text| text.view()).map(|text| (0..text.rows()).map(move |i| text.row(i)));
            return to_json(&rows.map(Iterator::collect::<Vec<_>>).collect::<Vec<_>>());
        }
        let model = sentence_model(model)?;
        let texts = model.encode_tokens(&inputs, &reading.encode(watch))?;
        let width = model.hidden_size();
        to_json(&texts.iter().map(|text| text.token_embeddings.chunks(width).collect()).collect::<Vec<Vec<_>>>())
    })
    .await
}
