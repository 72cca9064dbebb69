//! TEI's routes of tokens: texts to ids and back.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ModelInPath;
use super::inputs::check_count;
use crate::server::app::App;
use crate::server::body::{Json, json_response, to_json};
use crate::server::failure::{Failure, FailureKind};
use crate::server::models::{AnyModel, ModelKind, Served};
use crate::tokenize::{Input, Tokenizer};

const KINDS: [ModelKind; 5] =
    [ModelKind::Sentence, ModelKind::Reranker, ModelKind::Classifier, ModelKind::Sparse, ModelKind::MultiVector];

/// Body of `POST /tokenize`.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct TokenizeRequest {
    inputs: TokenizeInputs,
    /// Add the special tokens around a text; true by default.
    add_special_tokens: Option<bool>,
    /// Name of one of the model's prompts.
    prompt_name: Option<String>,
    /// Name of a served model; the first by default.
    model: Option<String>,
}

/// One text or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a string, or a list of strings")]
enum TokenizeInputs {
    One(String),
    Many(Vec<String>),
}

/// Token of a text. Positions count characters.
#[derive(Serialize)]
struct SimpleToken {
    id: u32,
    text: String,
    special: bool,
    start: Option<usize>,
    stop: Option<usize>,
}

/// Runs work on a thread that may block.
async fn blocking(
    app: &App,
    served: &Arc<Served>,
    work: impl FnOnce(&AnyModel) -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<Response, Failure> {
    let permit = app.permit()?;
    let model = served.model().await?;
    let task = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work(&model)
    });
    let body = task.await.map_err(|error| Failure::new(FailureKind::Broken, error.to_string()))??;
    Ok(json_response(axum::http::StatusCode::OK, body))
}

/// Tokenizes texts.
pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<TokenizeRequest>,
) -> Result<Response, Failure> {
    let served = path.served(&app, request.model.as_deref(), &KINDS)?;
    let texts = match request.inputs {
        TokenizeInputs::One(text) => vec![text],
        TokenizeInputs::Many(texts) => texts,
    };
    check_count(&app, "inputs", texts.len())?;
    if texts.iter().any(String::is_empty) {
        return Err(Failure::empty("inputs"));
    }
    let adds = request.add_special_tokens.unwrap_or(true);
    blocking(&app, served, move |model| {
        let prompt = model.prompt(request.prompt_name.as_deref())?;
        let reader = model.reader();
        let tokens = texts.iter().map(|text| simple_tokens(reader.tokenizer(), &[&*prompt, text].concat(), adds));
        to_json(&tokens.collect::<crate::Result<Vec<_>>>()?)
    })
    .await
}

/// Returns the tokens of a text with their positions.
fn simple_tokens(tokenizer: &Tokenizer, text: &str, adds_special: bool) -> crate::Result<Vec<SimpleToken>> {
    let offsets = tokenizer.offsets(Input::Text(text))?;
    let own = tokenizer.encode_plain(text)?;
    let all = match adds_special {
        true => tokenizer.encode(Input::Text(text), "", usize::MAX)?.ids,
        false => own.clone(),
    };
    let first = (0..=all.len() - own.len().min(all.len())).find(|i| all[*i..].starts_with(&own)).unwrap_or(0);
    let characters = |bytes: usize| text[..bytes].chars().count();
    let token = |(i, id): (usize, &u32)| match i.checked_sub(first).and_then(|i| offsets.get(i)) {
        Some(range) => SimpleToken {
            id: *id,
            text: text[range.clone()].to_owned(),
            special: false,
            start: Some(characters(range.start)),
            stop: Some(characters(range.end)),
        },
        None => SimpleToken {
            id: *id,
            text: tokenizer.token(*id).unwrap_or_default(),
            special: true,
            start: None,
            stop: None,
        },
    };
    Ok(all.iter().enumerate().map(token).collect())
}

/// Body of `POST /decode`.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct DecodeRequest {
    ids: Ids,
    /// Leave special tokens out; true by default.
    skip_special_tokens: Option<bool>,
    /// Name of a served model; the first by default.
    model: Option<String>,
}

/// Token ids of one text or of several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a list of token ids, or a list of such lists")]
enum Ids {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

/// Turns token ids into texts.
pub(super) async fn decode(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<DecodeRequest>,
) -> Result<Response, Failure> {
    let served = path.served(&app, request.model.as_deref(), &KINDS)?;
    let ids = match request.ids {
        Ids::One(ids) => vec![ids],
        Ids::Many(ids) => ids,
    };
    check_count(&app, "ids", ids.len())?;
    if ids.iter().any(Vec::is_empty) {
        return Err(Failure::empty("ids"));
    }
    let skips = request.skip_special_tokens.unwrap_or(true);
    blocking(&app, served, move |model| {
        let reader = model.reader();
        let texts: Vec<_> =
            ids.iter().map(|ids| reader.tokenizer().decode(ids, skips)).collect::<crate::Result<_>>()?;
        to_json(&texts)
    })
    .await
}
