//! OpenAI's routes: embeddings and models.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ModelInPath;
use super::dense::{check_dimensions, sentence_model};
use super::inputs::{InputType, Inputs, OneInput, Reading};
use crate::server::app::App;
use crate::server::body::{Json, answer, to_json};
use crate::server::compute::{Job, compute};
use crate::server::failure::Failure;
use crate::server::models::{ModelKind, Served};

/// Body of `POST /v1/embeddings`.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct EmbeddingsRequest {
    input: Inputs,
    /// Name of a served model; the first that embeds by default.
    model: Option<String>,
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// Columns to keep.
    dimensions: Option<usize>,
    /// Name of one of the model's prompts.
    prompt_name: Option<String>,
    /// Text to put before every input.
    prompt: Option<String>,
    /// Role of the texts, which selects the prompt.
    input_type: Option<InputType>,
    /// Truncate long texts; the server's option by default.
    truncate: Option<bool>,
    /// Divide each embedding by its L2 norm; true by default.
    normalize: Option<bool>,
}

/// Form of embeddings in an answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    /// Numbers.
    #[default]
    Float,
    /// Base64 of float32, little-endian.
    Base64,
}

#[derive(Serialize)]
struct EmbeddingList<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Float(&'a [f32]),
    Base64(String),
}

/// Numbers of tokens.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Usage {
    pub(super) fn new(tokens: usize) -> Self {
        Self { prompt_tokens: tokens, total_tokens: tokens }
    }
}

impl EncodingFormat {
    fn of(self, row: &[f32]) -> Vector<'_> {
        match self {
            Self::Float => Vector::Float(row),
            Self::Base64 => {
                let bytes: Vec<u8> = row.iter().flat_map(|number| number.to_le_bytes()).collect();
                Vector::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

/// Embeds texts.
pub(super) async fn embeddings(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<EmbeddingsRequest>,
) -> Result<Response, Failure> {
    let served = path.served(&app, request.model.as_deref(), &[ModelKind::Sentence])?;
    let inputs = request.input.checked(&app, "input")?;
    check_dimensions(served, request.dimensions)?;
    let reading = Reading {
        prompt: request.prompt,
        prompt_name: request.prompt_name,
        role: request.input_type.map(Into::into),
        ..Reading::new(&app, request.truncate, None)
    };
    reading.check(&inputs)?;
    let (name, format, normalize) = (served.name.clone(), request.encoding_format, request.normalize.unwrap_or(true));
    let job = Job::embed(&inputs);
    compute(&app, served, job, move |model, watch| {
        let inputs: Vec<_> = inputs.iter().map(OneInput::as_input).collect();
        let options = reading.encode(watch).with_normalize_embeddings(normalize).with_truncate_dim(request.dimensions);
        let rows = sentence_model(model)?.encode_inputs(&inputs, &options)?;
        let embedding = |(index, row)| Embedding { object: "embedding", index, embedding: format.of(row) };
        to_json(&EmbeddingList {
            object: "list",
            data: rows.rows().enumerate().map(embedding).collect(),
            model: &name,
            usage: Usage::new(watch.tokens()),
        })
    })
    .await
}

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelCard<'a>>,
}

#[derive(Serialize)]
struct ModelCard<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl<'a> ModelCard<'a> {
    fn of(served: &'a Served) -> Self {
        Self { id: &served.name, object: "model", created: served.created, owned_by: "rushlight" }
    }
}

/// Lists the served models.
pub(super) async fn models(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let data = app.models.iter().map(|served| ModelCard::of(served)).collect();
    answer(&ModelList { object: "list", data })
}

/// Describes a served model.
pub(super) async fn model(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Failure> {
    answer(&ModelCard::of(app.models.find(&id).ok_or_else(|| app.unknown_model(&id))?))
}
