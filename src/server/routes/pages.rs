//! Pages for people. They are part of the program and load nothing from elsewhere.

use std::sync::OnceLock;

use axum::http::StatusCode;
use axum::response::{Html, Response};

use crate::server::body::json_response;
use crate::server::schema;

/// Shows the served models, with boxes to embed and to rerank.
pub(super) async fn index() -> Html<&'static str> {
    Html(include_str!("../pages/index.html"))
}

/// Shows the schema.
pub(super) async fn docs() -> Html<&'static str> {
    Html(include_str!("../pages/docs.html"))
}

/// Returns the schema.
pub(super) async fn openapi() -> Response {
    static SCHEMA: OnceLock<String> = OnceLock::new();
    json_response(StatusCode::OK, SCHEMA.get_or_init(schema::json).as_str())
}
