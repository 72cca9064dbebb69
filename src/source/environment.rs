//! Environment variables about the hub, with the names of Python's huggingface_hub.

#[cfg(feature = "hub")]
pub(super) use online::{certificates, endpoint, timeout, token};

/// Returns the variable that forbids network access, if one is set.
pub(super) fn offline() -> Option<&'static str> {
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| is_true(name))
}

/// Returns true if a variable has a value that Python's client takes for yes.
fn is_true(name: &str) -> bool {
    let value = std::env::var(name).unwrap_or_default().to_uppercase();
    ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
}

#[cfg(feature = "hub")]
mod online {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::cache::hugging_face_home;
    use super::is_true;
    use crate::error::{Error, Result};
    use crate::options::HubToken;

    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Returns the hub's address: `HF_ENDPOINT`, or Hugging Face's own.
    pub(in super::super) fn endpoint() -> String {
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        endpoint.trim_end_matches('/').to_owned()
    }

    /// Returns the timeout of a silent connection: `HF_HUB_DOWNLOAD_TIMEOUT` in seconds, 10 by default.
    pub(in super::super) fn timeout() -> Result<Duration> {
        let Some(text) = variable("HF_HUB_DOWNLOAD_TIMEOUT") else { return Ok(Duration::from_secs(10)) };
        let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
        seconds.map(Duration::from_secs).ok_or_else(|| {
            Error::argument(
                "HF_HUB_DOWNLOAD_TIMEOUT",
                format!("must be an integer of at least 1 (seconds), got {text:?}"),
            )
        })
    }

    /// Returns a file of certificates to trust instead of the built-in ones, for example of a company's proxy.
    pub(in super::super) fn certificates() -> Option<PathBuf> {
        ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"].into_iter().find_map(variable).map(PathBuf::from)
    }

    /// Returns the access token to use, if any.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a token is required and missing, or malformed.
    pub(in super::super) fn token(token: &HubToken) -> Result<Option<String>> {
        let found = match token {
            HubToken::Given(text) => Some(text.trim().to_owned()),
            HubToken::None => None,
            HubToken::FromEnvironment if is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") => None,
            HubToken::FromEnvironment | HubToken::Required => from_environment(),
        };
        if found.is_none() && matches!(token, HubToken::Required) {
            let problem = "is required; set HF_TOKEN, or run `hf auth login`";
            return Err(Error::argument("token", problem));
        }
        // The message never shows the token.
        match found.filter(|token| !token.is_empty()) {
            Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(Error::argument("token", "must be of printable ASCII characters, without spaces"))
            }
            token => Ok(token),
        }
    }

    fn from_environment() -> Option<String> {
        let given = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(variable);
        given.or_else(|| {
            let file = variable("HF_TOKEN_PATH").map_or_else(|| hugging_face_home().join("token"), PathBuf::from);
            std::fs::read_to_string(file).ok().map(|token| token.trim().to_owned())
        })
    }
}
