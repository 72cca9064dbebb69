//! Reranking in the forms of TEI and of Cohere, Jina and vLLM; vLLM's scores of pairs.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ModelInPath;
use super::inputs::{Direction, Reading, check_count};
use super::openai::Usage;
use crate::models::ranked;
use crate::server::access::RequestId;
use crate::server::app::App;
use crate::server::body::{Json, to_json};
use crate::server::compute::{Job, Watch, compute};
use crate::server::failure::Failure;
use crate::server::metrics::Task;
use crate::server::models::{AnyModel, ModelKind};
use crate::{CallOptions, Input, PredictOptions, Ranked, Role, ScoreActivation};

/// Kinds of models that score a query with a document.
const KINDS: [ModelKind; 4] = [ModelKind::Reranker, ModelKind::MultiVector, ModelKind::Sentence, ModelKind::Sparse];
/// Kinds that TEI's form takes.
const TEI_KINDS: [ModelKind; 2] = [ModelKind::Reranker, ModelKind::MultiVector];

/// Body of `POST /rerank`: TEI's with `texts`, or Cohere's and Jina's with `documents`.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct RerankRequest {
    query: String,
    /// Texts to rank, in TEI's form.
    texts: Option<Vec<String>>,
    /// Documents to rank, in Cohere's and Jina's form.
    documents: Option<Vec<Document>>,
    /// Return logits instead of numbers from 0 to 1 (TEI's form).
    #[serde(default)]
    raw_scores: bool,
    /// Return the texts (TEI's form).
    #[serde(default)]
    return_text: bool,
    /// Number of results (Cohere's and Jina's form).
    top_n: Option<usize>,
    /// Return the documents (Cohere's and Jina's form).
    #[serde(default)]
    return_documents: bool,
    /// Name of a served model; the first that reranks by default.
    model: Option<String>,
    /// Truncate long texts; the server's option by default.
    truncate: Option<bool>,
    truncation_direction: Option<Direction>,
}

/// Document to rank.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a string, or an object with `text`")]
enum Document {
    Text(String),
    Object { text: String },
}

impl Document {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { text } => text,
        }
    }
}

#[derive(Serialize)]
struct TeiRank<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    score: f32,
}

#[derive(Serialize)]
struct CohereAnswer<'a> {
    id: String,
    model: &'a str,
    results: Vec<CohereRank<'a>>,
    usage: Usage,
    meta: serde_json::Value,
}

#[derive(Serialize)]
struct CohereRank<'a> {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<CohereDocument<'a>>,
}

#[derive(Serialize)]
struct CohereDocument<'a> {
    text: &'a str,
}

/// Ranks texts by their relevance to a query.
pub(super) async fn rerank(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Extension(id): Extension<RequestId>,
    Json(request): Json<RerankRequest>,
) -> Result<Response, Failure> {
    rerank_request(&app, &path, id, request).await
}

pub(super) async fn rerank_request(
    app: &App,
    path: &ModelInPath,
    id: RequestId,
    request: RerankRequest,
) -> Result<Response, Failure> {
    let (kinds, field, texts) = match (request.texts, request.documents) {
        (Some(texts), None) => (&TEI_KINDS[..], "texts", texts),
        (None, Some(documents)) => (&KINDS[..], "documents", documents.into_iter().map(Document::into_text).collect()),
        _ => return Err(Failure::invalid("texts", "(TEI) or `documents` (Cohere, Jina) must be given, and not both")),
    };
    let served = path.served(app, request.model.as_deref(), kinds)?;
    check_count(app, field, texts.len())?;
    if request.query.is_empty() {
        return Err(Failure::empty("query"));
    }
    if request.top_n == Some(0) {
        return Err(Failure::invalid("top_n", "must be at least 1, got 0"));
    }
    let reading = Reading::new(app, request.truncate, request.truncation_direction);
    let activation = if request.raw_scores { ScoreActivation::Identity } else { ScoreActivation::Sigmoid };
    let name = served.name.clone();
    let job = Job::new(Task::Rerank, texts.len());
    compute(app, served, job, move |model, watch| {
        let scores = one_to_many(model, watch, &reading, activation, &request.query, &texts)?;
        let ranks = ranked(&scores, request.top_n);
        if field == "texts" {
            let rank =
                |Ranked { index, score }| TeiRank { index, score, text: request.return_text.then(|| &*texts[index]) };
            return to_json(&ranks.into_iter().map(rank).collect::<Vec<_>>());
        }
        let rank = |Ranked { index, score }| {
            let document = request.return_documents.then(|| CohereDocument { text: &texts[index] });
            CohereRank { index, relevance_score: score, document }
        };
        let tokens = watch.tokens();
        to_json(&CohereAnswer {
            id: format!("rerank-{}", id.0),
            model: &name,
            results: ranks.into_iter().map(rank).collect(),
            usage: Usage::new(tokens),
            meta: serde_json::json!({
                "api_version": { "version": "2" },
                "billed_units": { "search_units": 1 },
                "tokens": { "input_tokens": tokens },
            }),
        })
    })
    .await
}

/// Scores a query with each text.
fn one_to_many(
    model: &AnyModel,
    watch: &Watch,
    reading: &Reading,
    activation: ScoreActivation,
    query: &str,
    texts: &[String],
) -> Result<Vec<f32>, Failure> {
    let call = CallOptions::default().with_observer(watch);
    let scores = match model {
        AnyModel::Reranker(model) => {
            let pairs: Vec<_> = texts.iter().map(|text| Input::Pair(query, text)).collect();
            let options = PredictOptions { activation: Some(activation), ..reading.predict(watch) };
            model.predict_inputs(&pairs, &options)?.0
        }
        AnyModel::Sentence(model) => {
            let options = reading.encode(watch);
            let query = model.encode_query(&[query], &options)?;
            model.similarity_with(&query, &model.encode_document(texts, &options)?, &call)?
        }
        AnyModel::Sparse(model) => {
            let options = reading.sparse(watch);
            let query = model.encode_query(&[query], &options)?;
            model.similarity_with(&query, &model.encode_document(texts, &options)?, &call)?
        }
        AnyModel::MultiVector(model) => {
            let options = reading.multi_vector(watch);
            let query = model.encode_query(&[query], &options)?;
            model.similarity_with(&query, &model.encode_document(texts, &options)?, &call)?
        }
    };
    Ok(scores.into_vec())
}

/// Body of `POST /score`: one text or several on each side.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::server) struct ScoreRequest {
    text_1: OneOrMany,
    /// As many texts as `text_1`, or any number where that is one.
    text_2: OneOrMany,
    /// Name of a served model; the first that scores pairs by default.
    model: Option<String>,
    /// Truncate long texts; the server's option by default.
    truncate: Option<bool>,
}

/// One text or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a string, or a list of strings")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(texts: OneOrMany) -> Self {
        match texts {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

#[derive(Serialize)]
struct ScoreList<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    data: Vec<Score>,
    usage: Usage,
}

#[derive(Serialize)]
struct Score {
    index: usize,
    object: &'static str,
    score: f32,
}

/// Scores pairs of texts.
pub(super) async fn score(
    State(app): State<Arc<App>>,
    path: ModelInPath,
    Extension(id): Extension<RequestId>,
    Json(request): Json<ScoreRequest>,
) -> Result<Response, Failure> {
    let served = path.served(&app, request.model.as_deref(), &KINDS)?;
    let (mut first, second) = (Vec::from(request.text_1), Vec::from(request.text_2));
    check_count(&app, "text_1", first.len())?;
    check_count(&app, "text_2", second.len())?;
    if first.len() == 1 {
        first.resize(second.len(), first[0].clone());
    }
    if first.len() != second.len() {
        let problem = format!("must have as many texts as `text_1` ({}), got {}", first.len(), second.len());
        return Err(Failure::invalid("text_2", problem));
    }
    let reading = Reading::new(&app, request.truncate, None);
    let (name, created) = (served.name.clone(), served.created);
    let job = Job::new(Task::Rerank, first.len());
    compute(&app, served, job, move |model, watch| {
        let scores = pairwise(model, watch, &reading, &first, &second)?;
        let score = |(index, score)| Score { index, object: "score", score };
        to_json(&ScoreList {
            id: format!("score-{}", id.0),
            object: "list",
            created,
            model: &name,
            data: scores.into_iter().enumerate().map(score).collect(),
            usage: Usage::new(watch.tokens()),
        })
    })
    .await
}

/// Scores each text of one list with the text of the other at the same index.
fn pairwise(
    model: &AnyModel,
    watch: &Watch,
    reading: &Reading,
    first: &[String],
    second: &[String],
) -> Result<Vec<f32>, Failure> {
    let call = CallOptions::default().with_observer(watch);
    Ok(match model {
        AnyModel::Reranker(model) => {
            let pairs: Vec<_> = first.iter().zip(second).map(|(a, b)| Input::Pair(a, b)).collect();
            let options = reading.predict(watch).with_activation(ScoreActivation::Sigmoid);
            model.predict_inputs(&pairs, &options)?.0.into_vec()
        }
        AnyModel::Sentence(model) => {
            let options = reading.encode(watch);
            model.similarity_pairwise_with(&model.encode(first, &options)?, &model.encode(second, &options)?, &call)?
        }
        AnyModel::Sparse(model) => {
            let queries = model.encode_query(first, &reading.sparse(watch))?;
            let documents = model.encode_document(second, &reading.sparse(watch))?;
            let scores = model.similarity_with(&queries, &documents, &call)?;
            (0..first.len()).map(|i| scores.row(i)[i]).collect()
        }
        AnyModel::MultiVector(model) => {
            let options = reading.multi_vector(watch);
            let inputs = |texts| Input::texts(texts);
            let (queries, _) = model.encode_inputs(&inputs(first), Role::Query, &options)?;
            let (documents, _) = model.encode_inputs(&inputs(second), Role::Document, &options)?;
            model.similarity_pairwise_with(&queries, &documents, &call)?
        }
    })
}
