//! The outermost layer of a route: request ids, keys, bodies of failures, metrics and the log.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::app::App;
use super::compute::IsBatch;
use super::failure::{ClientFamily, Failure, FailureKind};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Id of a request: the client's own, or a new one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        const MAX_LENGTH: usize = 128;
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let given = given.filter(|id| (1..=MAX_LENGTH).contains(&id.len()));
        Self(given.map_or_else(Self::made, str::to_owned))
    }

    /// Returns a number that is unlike those of other requests and processes.
    fn made() -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        static PROCESS: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
        format!("{process:016x}{:08x}", COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Counts a request whose client leaves before the answer.
struct LeaveGuard<'a> {
    app: &'a App,
    start: Instant,
    answered: bool,
}

impl Drop for LeaveGuard<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.app.metrics.request(false, Some("disconnected"), self.start.elapsed());
        }
    }
}

/// Watches a request from its head to its answer.
pub(super) async fn watch(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = RequestId::of(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let is_computing = method == Method::POST;
    #[cfg(feature = "otlp")]
    let span = super::traces::RequestSpan::begin(&request, &id.0);
    let mut guard = LeaveGuard { app: &app, start, answered: !is_computing };
    request.extensions_mut().insert(id.clone());
    let mut response = match check_key(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(failure) => axum::response::IntoResponse::into_response(failure),
    };
    guard.answered = true;
    let failure = response.extensions_mut().remove::<Failure>();
    let is_batch = response.extensions().get::<IsBatch>().is_some();
    if let Some(failure) = &failure {
        response = failure.response(ClientFamily::of(&path));
    }
    if is_computing {
        app.metrics.request(is_batch, failure.as_ref().map(|failure| failure.kind.code()), start.elapsed());
    }
    #[cfg(feature = "otlp")]
    span.end(&response, failure.as_ref());
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (status, ms) = (response.status().as_u16(), start.elapsed().as_secs_f64() * 1e3);
    match failure {
        Some(Failure { message, .. }) => {
            tracing::warn!(%method, path, status, ms, request_id = id.0, error = message, "request");
        }
        None if is_computing => tracing::info!(%method, path, status, ms, request_id = id.0, "request"),
        None => tracing::debug!(%method, path, status, ms, request_id = id.0, "request"),
    }
    response
}

/// Checks the key of a request, but for routes that probes and people need without one.
fn check_key(app: &App, request: &Request) -> Result<(), Failure> {
    const OPEN: [&str; 7] = ["/", "/health", "/healthz", "/ping", "/metrics", "/docs", "/openapi.json"];
    let keys = &app.options.api_keys;
    let is_open = [Method::GET, Method::HEAD].contains(request.method()) && OPEN.contains(&request.uri().path());
    if keys.is_empty() || is_open || given_key(request.headers()).is_some_and(|key| keys.allow(key)) {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Unauthorized, "Authorization must be Bearer with a valid API key"))
}

fn given_key(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}
