//! TEI's route of classifiers.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ModelInPath;
use super::inputs::{Direction, Reading, check_count};
use crate::models::ranked;
use crate::server::app::App;
use crate::server::body::{Json, to_json};
use crate::server::compute::{Job, compute};
use crate::server::failure::{Failure, FailureKind};
use crate::server::metrics::Task;
use crate::server::models::{AnyModel, ModelKind};
use crate::{Input, PredictOptions, ScoreActivation};

/// Body of `POST /predict`.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct PredictRequest {
    inputs: PredictInputs,
    /// Return logits instead of probabilities.
    #[serde(default)]
    raw_scores: bool,
    /// Truncate long texts; the server's option by default.
    truncate: Option<bool>,
    truncation_direction: Option<Direction>,
    /// Name of a served model; the first classifier by default.
    model: Option<String>,
}

/// A text, a pair, or several of either.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a string, a list of one or two strings, or a list of such lists")]
enum PredictInputs {
    Text(String),
    One(Vec<String>),
    Many(Vec<Vec<String>>),
}

#[derive(Serialize)]
struct Prediction<'a> {
    score: f32,
    label: &'a str,
}

fn input(texts: &[String]) -> Result<Input<'_>, Failure> {
    match texts {
        [text] if text.is_empty() => Err(Failure::empty("inputs")),
        [text] => Ok(Input::Text(text)),
        [first, second] if first.is_empty() && second.is_empty() => Err(Failure::empty("inputs")),
        [first, second] => Ok(Input::Pair(first, second)),
        [] => Err(Failure::empty("inputs")),
        more => Err(Failure::invalid("inputs", format!("must have one or two texts each, got {}", more.len()))),
    }
}

/// Classifies texts or pairs.
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Json(request): Json<PredictRequest>,
) -> Result<Response, Failure> {
    predict_request(&app, &path, request).await
}

pub(super) async fn predict_request(
    app: &App,
    path: &ModelInPath,
    request: PredictRequest,
) -> Result<Response, Failure> {
    let kinds = [ModelKind::Classifier, ModelKind::Reranker];
    let served = path.served(app, request.model.as_deref(), &kinds)?;
    let (inputs, is_batch) = match request.inputs {
        PredictInputs::Text(text) => (vec![vec![text]], false),
        PredictInputs::One(texts) => (vec![texts], false),
        PredictInputs::Many(inputs) => (inputs, true),
    };
    check_count(app, "inputs", inputs.len())?;
    inputs.iter().try_for_each(|texts| input(texts).map(|_| ()))?;
    let reading = Reading::new(app, request.truncate, request.truncation_direction);
    let labels = served.facts.labels.clone();
    let activation = match (request.raw_scores, labels.len()) {
        (true, _) => ScoreActivation::Identity,
        (false, 1) => ScoreActivation::Sigmoid,
        (false, _) => ScoreActivation::Softmax,
    };
    let job = Job::new(Task::Predict, inputs.len());
    compute(app, served, job, move |model, watch| {
        let AnyModel::Reranker(model) = model else {
            return Err(Failure::new(FailureKind::WrongModel, "model is not a classifier"));
        };
        let inputs: Vec<_> = inputs.iter().map(|texts| input(texts)).collect::<Result<_, _>>()?;
        let options = PredictOptions { activation: Some(activation), ..reading.predict(watch) };
        let (scores, _) = model.predict_inputs(&inputs, &options)?;
        let predictions = |row: usize| -> Vec<_> {
            let ranks = ranked(scores.row(row), None).into_iter();
            ranks.map(|rank| Prediction { score: rank.score, label: &labels[rank.index] }).collect()
        };
        match is_batch {
            true => to_json(&(0..scores.rows()).map(predictions).collect::<Vec<_>>()),
            false => to_json(&predictions(0)),
        }
    })
    .await
}
