//! Bodies: JSON in, within the limits of bytes and time, and JSON out.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::app::App;
use super::failure::{Failure, FailureKind};

/// Body of a request, parsed from JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        // An overloaded server doesn't read the body.
        app.check_load()?;
        check_media_type(&request)?;
        let bytes = read(request, app).await?;
        parse(&bytes).map(Self)
    }
}

fn check_media_type(request: &Request) -> Result<(), Failure> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let problem = format!("Content-Type must be application/json, got {given:?}");
    Err(Failure::new(FailureKind::WrongMediaType, problem))
}

async fn read(request: Request, app: &App) -> Result<Bytes, Failure> {
    let limit = app.options.payload_limit;
    let too_large = || Failure::new(FailureKind::TooLarge, format!("the body must have at most {limit} bytes"));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(app.options.body_timeout, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Failure::new(FailureKind::Validation, format!("the body can't be read: {error}"))),
        Err(_) => {
            let seconds = app.options.body_timeout.as_secs_f64();
            Err(Failure::new(FailureKind::Timeout, format!("the body must arrive within {seconds} seconds")))
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let failure = |error: serde_json::Error| {
        let problem = format!("the body must be JSON: {error}");
        Failure::new(FailureKind::Validation, problem)
    };
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => failure(error.into_inner()),
            _ => Failure::of(FailureKind::Validation, path, error.into_inner()),
        }
    })?;
    deserializer.end().map_err(failure)?;
    Ok(value)
}

/// Writes JSON. Numbers have the fewest digits that give the same float32 again.
pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::new(FailureKind::Broken, error.to_string()))
}

pub(super) fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers JSON.
pub(super) fn answer(value: &impl Serialize) -> Result<Response, Failure> {
    Ok(json_response(StatusCode::OK, to_json(value)?))
}
