//! Traces of requests for OpenTelemetry: a span a request, with spans of its steps, sent over OTLP (feature `otlp`).
//!
//! Spans go to the program's global provider, so that a service that mounts [`router`](super::router) gets them in its own
//! traces. A request's `traceparent` header names the span that it belongs to.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::extract::Request;
use axum::http::{self, Response};
use bytes::Bytes;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::failure::Failure;
use crate::error::{Error, Result};

const NAME: &str = "rushlight";

/// Durations of tokenizing, waiting and computing, one after another, of a computation that has just ended.
#[derive(Clone, Copy)]
pub(super) struct Times(pub(super) [Duration; 3]);

/// Span of a request. It ends when it is dropped, also if the client leaves.
pub(super) struct RequestSpan(Context);

impl RequestSpan {
    pub(super) fn begin(request: &Request, id: &str) -> Self {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        let path = request.uri().path().to_owned();
        let tracer = global::tracer(NAME);
        let span = tracer
            .span_builder(format!("{} {path}", request.method()))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", request.method().to_string()),
                KeyValue::new("url.path", path),
                KeyValue::new("http.request.id", id.to_owned()),
            ])
            .start_with_context(&tracer, &parent);
        Self(parent.with_span(span))
    }

    /// Records the answer, and the steps of its computation.
    pub(super) fn end<B>(self, response: &Response<B>, failure: Option<&Failure>) {
        let (span, tracer) = (self.0.span(), global::tracer(NAME));
        let status = response.status();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Some(failure) = failure {
            span.set_attribute(KeyValue::new("error.type", failure.kind.code()));
            if status.is_server_error() {
                span.set_status(Status::error(failure.message.clone()));
            }
        }
        let Some(Times(steps)) = response.extensions().get() else { return };
        let mut start = SystemTime::now() - steps.iter().sum::<Duration>();
        for (name, step) in ["tokenize", "wait", "compute"].into_iter().zip(*steps) {
            let span = tracer.span_builder(Cow::Borrowed(name)).with_start_time(start);
            start += step;
            span.start_with_context(&tracer, &self.0).end_with_timestamp(start);
        }
    }
}

/// Sends traces until it is dropped, which sends what is left.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Makes the program's global provider send spans to a collector's OTLP over HTTP, such as `http://localhost:4318`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the endpoint is no URL of HTTP.
    pub(super) fn start(endpoint: &str) -> Result<Self> {
        let problem = |problem: String| Error::argument("otlp_endpoint", format!("{endpoint:?} {problem}"));
        let url: http::Uri = endpoint.parse().map_err(|error| problem(format!("is no URL: {error}")))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(problem("must begin with http:// or https://".to_owned()));
        }
        let url = match url.path() {
            "" | "/" => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
            _ => endpoint.to_owned(),
        };
        let exporter = SpanExporter::builder().with_http().with_http_client(Client::new()).with_endpoint(url).build();
        let exporter = exporter.map_err(|error| problem(error.to_string()))?;
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count more than the name here.
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => Resource::builder(),
            None => Resource::builder().with_service_name(NAME),
        };
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
        let provider = provider.build();
        global::set_tracer_provider(provider.clone());
        Ok(Self(provider))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces weren't sent");
        }
    }
}

/// Client that blocks: spans are sent on a thread of their own.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        const PATIENCE: Duration = Duration::from_secs(10);
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        Self(config.build().into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = http::Request::from_parts(head, body.to_vec());
        let (head, mut body) = self.0.run(request)?.into_parts();
        Ok(Response::from_parts(head, Bytes::from(body.read_to_vec()?)))
    }
}
