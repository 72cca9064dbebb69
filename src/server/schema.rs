//! Schema of the routes (OpenAPI). Bodies come from the types that are parsed.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::routes::{
    DecodeRequest, EmbedRequest, EmbeddingsRequest, PredictRequest, RerankRequest, ScoreRequest, SimilarityRequest,
    TokenizeRequest,
};

/// Schemas of the bodies.
#[derive(OpenApi)]
#[openapi(components(schemas(
    DecodeRequest,
    EmbedRequest,
    EmbeddingsRequest,
    PredictRequest,
    RerankRequest,
    ScoreRequest,
    SimilarityRequest,
    TokenizeRequest
)))]
struct Bodies;

/// Route of the schema.
struct Route {
    path: &'static str,
    /// Name of the body's schema; none for GET.
    body: Option<&'static str>,
    /// Clients that know the route.
    tag: &'static str,
    summary: &'static str,
    /// Answer in words.
    answer: &'static str,
}

const fn post(path: &'static str, body: &'static str, tag: &'static str, texts: [&'static str; 2]) -> Route {
    Route { path, body: Some(body), tag, summary: texts[0], answer: texts[1] }
}

const fn get(path: &'static str, tag: &'static str, texts: [&'static str; 2]) -> Route {
    Route { path, body: None, tag, summary: texts[0], answer: texts[1] }
}

const ROUTES: [Route; 21] = [
    post("/v1/embeddings", "EmbeddingsRequest", "OpenAI", ["Embed texts.", "A list of embeddings, and usage."]),
    post("/embeddings", "EmbeddingsRequest", "OpenAI", ["Embed texts.", "As /v1/embeddings."]),
    get("/v1/models", "OpenAI", ["List the served models.", "A list of models."]),
    get("/v1/models/{id}", "OpenAI", ["Describe a served model.", "A model."]),
    post("/embed", "EmbedRequest", "TEI", ["Embed texts.", "A vector per text."]),
    post("/embed_all", "EmbedRequest", "TEI", ["Embed tokens.", "A list of vectors per text."]),
    post("/embed_sparse", "EmbedRequest", "TEI", ["Embed texts sparsely.", "A list of index and value per text."]),
    post("/similarity", "SimilarityRequest", "TEI", ["Compare a sentence with others.", "A score per sentence."]),
    post("/rerank", "RerankRequest", "TEI", ["Rank texts for a query.", "TEI's ranks, or Cohere's for `documents`."]),
    post("/v1/rerank", "RerankRequest", "Cohere, Jina, vLLM", ["Rank documents for a query.", "Results, best first."]),
    post("/v2/rerank", "RerankRequest", "Cohere, Jina, vLLM", ["Rank documents for a query.", "Results, best first."]),
    post("/score", "ScoreRequest", "vLLM", ["Score pairs of texts.", "A list of scores, and usage."]),
    post("/v1/score", "ScoreRequest", "vLLM", ["Score pairs of texts.", "A list of scores, and usage."]),
    post("/predict", "PredictRequest", "TEI", ["Classify texts or pairs.", "Labels with scores, best first."]),
    post("/tokenize", "TokenizeRequest", "TEI", ["Tokenize texts.", "A list of tokens per text."]),
    post("/decode", "DecodeRequest", "TEI", ["Turn token ids into texts.", "A list of texts."]),
    get("/info", "TEI", ["Describe a model and the limits.", "An object."]),
    get("/health", "Server", ["Check that every model computes.", "Nothing."]),
    get("/metrics", "Server", ["Return metrics.", "Prometheus text."]),
    get("/openapi.json", "Server", ["Return this schema.", "OpenAPI."]),
    get("/docs", "Server", ["Show this schema.", "A page."]),
];

impl Route {
    fn operation(&self) -> Value {
        let mut operation = json!({
            "tags": [self.tag],
            "summary": self.summary,
            "responses": { "200": { "description": self.answer } },
        });
        if let Some(body) = self.body {
            let schema = json!({ "$ref": format!("#/components/schemas/{body}") });
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": schema } } });
            for (status, description) in STATUSES {
                operation["responses"][status] = json!({ "description": description });
            }
        }
        if self.path.contains("{id}") {
            let parameter = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
            operation["parameters"] = json!([parameter]);
        }
        operation
    }
}

const STATUSES: [(&str, &str); 8] = [
    ("400", "Empty inputs."),
    ("401", "No valid API key."),
    ("404", "An unknown model."),
    ("413", "Too many inputs, or a too large body."),
    ("415", "A body that isn't application/json."),
    ("422", "A malformed body, or an input that can't be computed."),
    ("424", "A model of another kind."),
    ("429", "Too many requests; try again after Retry-After seconds."),
];

/// Returns the schema as JSON.
pub(super) fn json() -> String {
    let mut paths = Map::new();
    for route in &ROUTES {
        let method = if route.body.is_some() { "post" } else { "get" };
        paths.insert(route.path.to_owned(), json!({ method: route.operation() }));
    }
    let components = serde_json::to_value(Bodies::openapi().components).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rushlight",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Embeddings, reranking and classification. Every route also stands behind the name of a \
                            model: `/{model}/embed`.",
        },
        "paths": paths,
        "components": components,
    })
    .to_string()
}
