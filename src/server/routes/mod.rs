//! Routes, one file for each family of clients or task.

mod dense;
mod info;
mod inputs;
mod openai;
mod pages;
mod predict;
mod rerank;
mod root;
mod sparse;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::access;
use super::app::{App, PathModel};
use super::failure::{Failure, FailureKind};
use super::models::{ModelKind, Served};

pub(super) use dense::EmbedRequest;
pub(super) use info::probe;
pub(super) use inputs::OneInput;
pub(super) use openai::EmbeddingsRequest;
pub(super) use predict::PredictRequest;
pub(super) use rerank::{RerankRequest, ScoreRequest};
pub(super) use sparse::SimilarityRequest;
pub(super) use tokens::{DecodeRequest, TokenizeRequest};

/// Name of a model that the path of a request has, as `/{model}/embed` does.
struct ModelInPath(Option<String>);

impl<S: Sync> FromRequestParts<S> for ModelInPath {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<PathModel>().map(|model| model.0.clone())))
    }
}

impl ModelInPath {
    /// Returns the name of a request's model: that of the path, else that of the body.
    fn or<'a>(&'a self, named: Option<&'a str>) -> Option<&'a str> {
        self.0.as_deref().or(named)
    }

    /// Returns the model of a request, of one of these kinds; see [`App::model`].
    fn served<'a>(&self, app: &'a App, named: Option<&str>, kinds: &[ModelKind]) -> Result<&'a Arc<Served>, Failure> {
        app.model(self.or(named), kinds)
    }
}

/// Returns all routes, also behind the name of a model.
pub(super) fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/", get(pages::index).post(root::root))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/embeddings", post(openai::embeddings))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{*id}", get(openai::model))
        .route("/embed", post(dense::embed))
        .route("/embed_all", post(dense::embed_all))
        .route("/embed_sparse", post(sparse::embed_sparse))
        .route("/similarity", post(sparse::similarity))
        .route("/rerank", post(rerank::rerank))
        .route("/v1/rerank", post(rerank::rerank))
        .route("/v2/rerank", post(rerank::rerank))
        .route("/score", post(rerank::score))
        .route("/v1/score", post(rerank::score))
        .route("/predict", post(predict::predict))
        .route("/tokenize", post(tokens::tokenize))
        .route("/decode", post(tokens::decode))
        .route("/info", get(info::info))
        .route("/health", get(info::health))
        .route("/healthz", get(info::health))
        .route("/ping", get(info::health))
        .route("/metrics", get(info::metrics))
        .route("/openapi.json", get(pages::openapi))
        .route("/docs", get(pages::docs))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), access::watch))
        .layer(cors(&app.options.cors_allow_origin))
        .with_state(Arc::clone(&app));
    Router::new().fallback(move |request: Request| dispatch(Arc::clone(&app), routes.clone(), request))
}

/// Takes the name of a model from the front of a path, and routes the rest.
async fn dispatch(app: Arc<App>, routes: Router, mut request: Request) -> Response {
    if let Some((model, uri)) = split_model(&app, request.uri()) {
        request.extensions_mut().insert(PathModel(model));
        *request.uri_mut() = uri;
    }
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Splits `/{model}/route` into the model and `/route`.
fn split_model(app: &App, uri: &Uri) -> Option<(String, Uri)> {
    let path = uri.path().strip_prefix('/')?;
    app.models.iter().find_map(|served| {
        let short = served.name.rsplit('/').next().unwrap_or_default();
        let rest = [&*served.name, &*served.name.replace('/', "%2F"), short]
            .into_iter()
            .find_map(|name| path.strip_prefix(name).filter(|rest| rest.starts_with('/') || rest.is_empty()))?;
        let rest = if rest.is_empty() { "/" } else { rest };
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        Some((served.name.clone(), format!("{rest}{query}").parse().ok()?))
    })
}

fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origin = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::from(Any),
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    CorsLayer::new().allow_origin(origin).allow_methods([Method::GET, Method::POST]).allow_headers([
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        HeaderName::from_static("x-request-id"),
    ])
}

async fn no_route(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let names = app.models.names().join(", ");
    let problem = format!("no route {}; /docs lists the routes; served models: {names}", uri.path());
    Failure::new(FailureKind::NotFound, problem).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let problem = format!("{} doesn't answer {method}; /docs lists the methods", uri.path());
    Failure::new(FailureKind::WrongMethod, problem).into_response()
}
