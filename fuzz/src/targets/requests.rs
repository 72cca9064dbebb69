//! Requests to the server's router, without sockets.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use rushlight::server::{Models, ServerOptions, router};
use rushlight::Kernels;
use serde_json::Value;
use tower::ServiceExt;

use super::super::edits::{Edit, edited};
use super::super::folder::on_case;
use super::super::oracle::load;

const MODELS: [(&str, &str); 4] = [
    ("sentence", "tiny/bert-mean-normalize"),
    ("reranker", "rerank/rerank-bert"),
    ("sparse", "sparse/splade-bert-max"),
    ("late", "multi_vector/multivector-native-bert"),
];
const ROUTES: [(&str, &str); 24] = [
    ("/v1/embeddings", r#"{"model":"sentence","input":["a","b"],"encoding_format":"float","dimensions":8,"user":"u"}"#),
    ("/v1/embeddings", r#"{"input":[[1,2,3],[4]],"encoding_format":"base64"}"#),
    ("/v1/embeddings", r#"{"input":"a","input_type":"query","task":"retrieval.query","truncate":true,"late_chunking":false}"#),
    ("/embed", r#"{"inputs":["a","b"],"truncate":true,"truncation_direction":"Left","normalize":false,"prompt_name":null,"dimensions":4}"#),
    ("/embed", r#"{"inputs":"a"}"#),
    ("/embed_all", r#"{"inputs":["a"],"truncate":false}"#),
    ("/embed_sparse", r#"{"inputs":["a","the rest"],"model":"sparse"}"#),
    ("/similarity", r#"{"inputs":{"source_sentence":"a","sentences":["b","c"]},"parameters":{"truncate":true}}"#),
    ("/rerank", r#"{"query":"a","texts":["b","c"],"raw_scores":true,"return_text":true,"truncate":true}"#),
    ("/v1/rerank", r#"{"model":"reranker","query":"a","documents":["b",{"text":"c"}],"top_n":1,"return_documents":true}"#),
    ("/v2/rerank", r#"{"query":"a","documents":["b"],"max_tokens_per_doc":5}"#),
    ("/v1/rerank", r#"{"model":"late","query":"a","documents":["b"]}"#),
    ("/score", r#"{"text_1":"a","text_2":["b","c"],"model":"reranker"}"#),
    ("/predict", r#"{"inputs":[["a","b"],["c"]],"raw_scores":true,"truncate":true}"#),
    ("/tokenize", r#"{"inputs":["a"],"add_special_tokens":true,"prompt_name":null}"#),
    ("/decode", r#"{"ids":[[1,2],[3]],"skip_special_tokens":true}"#),
    ("/", r#"{"inputs":["a"]}"#),
    ("/", r#"{"query":"a","texts":["b"]}"#),
    ("/late/embed_all", r#"{"inputs":["a"]}"#),
    ("/sparse/embed_sparse", r#"{"inputs":["a"]}"#),
    ("/info", ""),
    ("/health", ""),
    ("/v1/models", ""),
    ("/openapi.json", ""),
];

#[derive(Arbitrary, Debug)]
struct Call {
    route: u8,
    /// Another path.
    path: Option<String>,
    method: u8,
    media_type: Option<String>,
    header: Option<(String, Vec<u8>)>,
    body: Content,
}

#[derive(Arbitrary, Debug)]
enum Content {
    Edited(Vec<Edit>),
    Raw(Vec<u8>),
}

struct Service {
    router: Router,
    runtime: tokio::runtime::Runtime,
}

fn service() -> Service {
    let mut models = Models::default();
    for (name, case) in MODELS {
        on_case(case, |folder| {
            let model = folder.with(&Default::default(), |path| load(path, Kernels::Native).unwrap());
            models.add(name, model).unwrap();
        });
    }
    let options = ServerOptions::default().with_payload_limit(50_000).with_max_client_batch_size(8);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Service { router: router(models, options).unwrap(), runtime }
}

pub fn check(data: &[u8]) {
    static SERVICE: LazyLock<Service> = LazyLock::new(service);
    let Ok(call) = Call::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let Some(answer) = SERVICE.answer(&call) else { return };
    let (status, body) = &answer;
    // The server has no reason to fail: the models are whole, and requests are alone.
    assert!(!status.is_server_error(), "{status}: {} for {call:?}", String::from_utf8_lossy(body));
    check_numbers(body);
    if let Some((again, other)) = SERVICE.answer(&call) {
        assert_eq!(*status, again);
        assert_eq!(without_ids(body), without_ids(&other), "{call:?}");
    }
}

impl Service {
    /// Returns the answer to a call; none where it is no request of HTTP.
    fn answer(&self, call: &Call) -> Option<(StatusCode, Vec<u8>)> {
        let (path, body) = ROUTES[usize::from(call.route) % ROUTES.len()];
        let content = match &call.body {
            Content::Edited(edits) => edited(body.as_bytes(), edits),
            Content::Raw(bytes) => bytes.clone(),
        };
        let usual = if body.is_empty() { "GET" } else { "POST" };
        let method = ["GET", "PUT", "HEAD", "OPTIONS", "DELETE"].get(usize::from(call.method)).unwrap_or(&usual);
        let mut request = Request::builder()
            .method(*method)
            .uri(call.path.as_deref().unwrap_or(path))
            .header("content-type", call.media_type.as_deref().unwrap_or("application/json"));
        if let Some((name, value)) = &call.header {
            request = request.header(name, &value[..]);
        }
        let request = request.body(Body::from(content)).ok()?;
        self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await.unwrap();
            let status = answer.status();
            Some((status, answer.into_body().collect().await.unwrap().to_bytes().to_vec()))
        })
    }
}

/// JSON has no number that isn't finite, and embeddings have no null for one.
fn check_numbers(body: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    if let Some(items) = value.get("data").and_then(Value::as_array) {
        for number in items.iter().filter_map(|item| item["embedding"].as_array()).flatten() {
            assert!(number.is_f64() || number.is_i64(), "{number}");
        }
    }
}

/// Returns a body without what tells answers of the same request apart.
fn without_ids(body: &[u8]) -> Value {
    let mut value = serde_json::from_slice(body).unwrap_or(Value::Null);
    for key in ["id", "created", "data"] {
        if let Some(value) = value.get_mut(key).filter(|value| key != "data" || value[0].get("created").is_some()) {
            value.take();
        }
    }
    value
}
