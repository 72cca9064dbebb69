//! Failures of requests: status, error type and body by the family of the client.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{Error, ErrorKind};

/// Kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    Validation,
    Tokenizer,
    Empty,
    TooLarge,
    Overloaded,
    /// The model doesn't answer this route.
    WrongModel,
    /// The computation failed.
    Backend,
    /// The computation failed for a reason in the model or in rushlight.
    Broken,
    Unhealthy,
    Unauthorized,
    NotFound,
    WrongMethod,
    WrongMediaType,
    Timeout,
}

impl FailureKind {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Validation | Self::Tokenizer => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Empty => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::WrongModel | Self::Backend => StatusCode::FAILED_DEPENDENCY,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::WrongMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Returns TEI's `error_type`.
    fn tei_type(self) -> &'static str {
        match self {
            Self::Tokenizer => "Tokenizer",
            Self::Empty => "Empty",
            Self::Overloaded => "Overloaded",
            Self::WrongModel | Self::Backend | Self::Broken => "Backend",
            Self::Unhealthy => "Unhealthy",
            _ => "Validation",
        }
    }

    /// Returns OpenAI's `type`.
    fn openai_type(self) -> &'static str {
        match self {
            Self::Overloaded => "rate_limit_error",
            Self::Backend | Self::Broken | Self::Unhealthy => "server_error",
            Self::Unauthorized => "authentication_error",
            _ => "invalid_request_error",
        }
    }

    /// Returns OpenAI's `code`, and the label of the metric.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Tokenizer => "tokenizer",
            Self::Empty => "empty",
            Self::TooLarge => "batch_size",
            Self::Overloaded => "overloaded",
            Self::WrongModel => "model_type",
            Self::Backend | Self::Broken => "backend",
            Self::Unhealthy => "unhealthy",
            Self::Unauthorized => "invalid_api_key",
            Self::NotFound => "not_found",
            Self::WrongMethod => "method_not_allowed",
            Self::WrongMediaType => "unsupported_media_type",
            Self::Timeout => "timeout",
        }
    }
}

/// Failure of a request.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) message: String,
    /// Field of the body that the failure is about.
    param: Option<String>,
}

/// Family of clients, which read errors alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientFamily {
    Tei,
    OpenAi,
}

impl ClientFamily {
    pub(super) fn of(path: &str) -> Self {
        let is_openai = ["/v1/", "/v2/"].iter().any(|prefix| path.starts_with(prefix));
        if is_openai || path == "/embeddings" || path == "/score" { Self::OpenAi } else { Self::Tei }
    }
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None }
    }

    /// Makes the failure of a field of the body.
    pub(super) fn of(kind: FailureKind, param: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        let param = param.into();
        Self { kind, message: format!("`{param}` {problem}"), param: Some(param) }
    }

    pub(super) fn empty(param: &'static str) -> Self {
        Self::of(FailureKind::Empty, param, "cannot be empty")
    }

    pub(super) fn invalid(param: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::of(FailureKind::Validation, param, problem)
    }

    /// Returns the answer with the body that a family of clients reads.
    pub(super) fn response(&self, family: ClientFamily) -> Response {
        let kind = self.kind;
        let body = match family {
            ClientFamily::Tei => json!({ "error": self.message, "error_type": kind.tei_type() }),
            ClientFamily::OpenAi => json!({
                "error": {
                    "message": self.message,
                    "type": kind.openai_type(),
                    "param": self.param,
                    "code": kind.code(),
                },
                // TEI's and Cohere's clients read these.
                "message": self.message,
                "code": kind.status().as_u16(),
                "error_type": kind.tei_type(),
            }),
        };
        let mut response = super::body::json_response(kind.status(), body.to_string());
        let extra = match kind {
            FailureKind::Overloaded | FailureKind::Unhealthy => Some((header::RETRY_AFTER, "1")),
            FailureKind::Unauthorized => Some((header::WWW_AUTHENTICATE, "Bearer")),
            FailureKind::Timeout => Some((header::CONNECTION, "close")),
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Answers without a body. The outermost layer knows the client's family and writes the body.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NotFinite { .. } => FailureKind::Broken,
            Error::Tokenizer(_) => FailureKind::Tokenizer,
            error => match error.kind() {
                ErrorKind::Argument | ErrorKind::Input => FailureKind::Validation,
                _ => FailureKind::Backend,
            },
        };
        let param = match &error {
            Error::InvalidArgument { argument, .. } => Some((*argument).to_owned()),
            Error::InvalidInput { index, .. } => Some(format!("inputs[{index}]")),
            _ => None,
        };
        Self { kind, message: error.to_string(), param }
    }
}
