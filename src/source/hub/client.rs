//! Requests to the hub: redirects, timeouts, retries, and the access token.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, StatusCode, Version};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::address::{escape, origin, shown, target};
use super::body::PacedBody;
use super::stop::Stop;
use crate::error::{Error, Result};
use crate::options::HubToken;
use crate::source::environment;

/// Number of attempts of a request that fails transiently.
pub(super) const ATTEMPTS: u32 = 5;
/// Longest `retry-after` that is honoured.
const MAX_WAIT: Duration = Duration::from_secs(120);
const MAX_REDIRECTS: usize = 10;
/// Longest time that a body may take. It ends what [`PacedBody`] doesn't see: a server that drips no bytes, but trailers.
const MAX_BODY_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Connection to the hub with one access token.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    endpoint: Arc<str>,
    token: Option<Arc<str>>,
    /// Longest time for which a connection may be silent.
    timeout: Duration,
    pub(super) stop: Stop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    /// Headers only. For a redirect to another host these are the redirect's own headers, which describe the file.
    Head,
}

/// An answer, and its address after redirects.
pub(super) struct Answer {
    pub(super) url: String,
    pub(super) response: Response<Body>,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Returns the target of a redirect.
    pub(super) fn redirect(&self) -> Option<&str> {
        self.header("location").filter(|_| self.status().is_redirection())
    }

    /// Returns the body's content encoding, if any. Size and hash would not be the file's.
    fn encoding(&self) -> Option<String> {
        let values = self.response.headers().get_all("content-encoding").iter();
        let mut values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_lowercase());
        values.find(|value| !["", "identity"].contains(&&**value))
    }

    /// Returns true if the transfer marks the end of the body, so that a truncated body is detected.
    pub(super) fn is_framed(&self) -> bool {
        let chunked = || self.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        self.response.body().content_length().is_some() || (self.response.version() >= Version::HTTP_11 && chunked())
    }

    /// Returns true if the hub answers that the file is absent. Without a token it answers 401 for absent repositories.
    pub(super) fn is_absent(&self) -> bool {
        let code = self.header("x-error-code");
        self.status() == StatusCode::NOT_FOUND
            || (self.status() == StatusCode::UNAUTHORIZED && code == Some("RepoNotFound"))
    }

    /// Makes the error of a refusal, with advice.
    pub(super) fn refusal(&self, client: &Client) -> Error {
        let status = self.status();
        let more = match (status, client.token.is_some()) {
            (StatusCode::UNAUTHORIZED, true) => "the access token is not accepted",
            (StatusCode::UNAUTHORIZED, false) => "needs an access token: pass token=, or set HF_TOKEN",
            (StatusCode::FORBIDDEN, _) if self.header("x-error-code") == Some("GatedRepo") => {
                "gated: accept the conditions on its page of the hub, and pass an access token of that account (token=, or \
                 HF_TOKEN)"
            }
            (StatusCode::FORBIDDEN, _) => "the access token, if any, gives no access to it",
            _ => "the hub refuses the request",
        };
        let problem = format!("{status}: {more}");
        Error::Download { url: shown(&self.url), status: Some(status.as_u16()), problem }
    }
}

/// A failure that a retry may fix.
struct Transient {
    status: Option<StatusCode>,
    problem: String,
    wait: Option<Duration>,
}

impl Client {
    pub(super) fn new(token: &HubToken, stop: Stop) -> Result<Self> {
        let timeout = environment::timeout()?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("rushlight/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity") // sizes are those of the files
            .tls_config(TlsConfig::builder().root_certs(root_certificates()?).build())
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_recv_body(Some(MAX_BODY_TIME))
            .timeout_per_read(Some(timeout))
            .build();
        let endpoint = environment::endpoint();
        if origin(&endpoint).is_none() {
            let problem = format!("must be an address such as https://huggingface.co, got {:?}", shown(&endpoint));
            return Err(Error::argument("HF_ENDPOINT", problem));
        }
        let token = environment::token(token)?.map(Arc::from);
        Ok(Self { agent: config.into(), endpoint: endpoint.into(), token, timeout, stop })
    }

    /// Returns the hub's address without secrets.
    pub(super) fn shown(&self) -> String {
        shown(&self.endpoint)
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns the address of a path on the hub, given its segments.
    pub(super) fn address<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> String {
        path.into_iter().fold(self.endpoint.to_string(), |address, segment| format!("{address}/{}", escape(segment)))
    }

    /// Returns the body of an answer, which fails to be read where the server is too slow.
    pub(super) fn body(&self, answer: Answer) -> PacedBody {
        PacedBody::new(answer.response.into_body().into_reader(), self.timeout)
    }

    /// Requests `url`, from the byte `from` on; retries transient failures.
    pub(super) fn ask(&self, method: Method, url: &str, from: u64) -> Result<Answer> {
        self.ask_often(ATTEMPTS, method, url, from)
    }

    /// [`Client::ask`] with at most `attempts` attempts.
    pub(super) fn ask_often(&self, attempts: u32, method: Method, url: &str, from: u64) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            self.stop.check()?;
            let Transient { status, problem, wait } = match self.ask_once(method, url, from)? {
                Ok(answer) => match transient(&answer) {
                    Some(transient) => transient,
                    None => return Ok(answer),
                },
                Err(problem) => Transient { status: None, problem, wait: None },
            };
            let wait = wait.unwrap_or_else(|| backoff(attempt));
            if attempt >= attempts || wait > MAX_WAIT {
                let problem = match wait > MAX_WAIT {
                    true => format!("{problem}; it asks to wait for {} seconds", wait.as_secs()),
                    false if status.is_some() => format!("{problem}; tried {attempt} times"),
                    false => format!("{problem}; tried {attempt} times; without a network, {OFFLINE}"),
                };
                return Err(Error::Download { url: shown(url), status: status.map(|status| status.as_u16()), problem });
            }
            self.stop.sleep(wait)?;
            attempt += 1;
        }
    }

    /// Makes one attempt and follows redirects; the inner error is transient.
    fn ask_once(&self, method: Method, url: &str, from: u64) -> Result<std::result::Result<Answer, String>> {
        let fail = |url: &str, problem: String| Err(Error::Download { url: shown(url), status: None, problem });
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let request = match method {
                Method::Get => self.agent.get(&url),
                Method::Head => self.agent.head(&url),
            };
            let request = match &self.token {
                // Only the hub itself may see the token.
                Some(token) if origin(&url) == origin(&self.endpoint) => {
                    request.header("authorization", format!("Bearer {token}"))
                }
                _ => request,
            };
            let request = if from > 0 { request.header("range", format!("bytes={from}-")) } else { request };
            let answer = match request.call() {
                Ok(response) => Answer { url, response },
                Err(error) if is_permanent(&error) => return fail(&url, error.to_string()),
                Err(error) => return Ok(Err(error.to_string())),
            };
            let Some(location) = answer.redirect() else {
                return match answer.encoding() {
                    Some(encoding) => fail(
                        &answer.url,
                        format!("has the content-encoding {encoding:?}; must be sent without one, as requested"),
                    ),
                    None => Ok(Ok(answer)),
                };
            };
            let Some(next) = target(&answer.url, location) else {
                return fail(
                    &answer.url,
                    format!("redirects to {:?}, which is no address, or leaves https", shown(location)),
                );
            };
            if method == Method::Head && origin(&next) != origin(&answer.url) {
                return Ok(Ok(answer));
            }
            url = next;
        }
        fail(&url, format!("more than {MAX_REDIRECTS} redirects"))
    }
}

/// Returns the transient failure that an answer reports, if any.
fn transient(answer: &Answer) -> Option<Transient> {
    let status = answer.status();
    let busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    (busy || status.is_server_error()).then(|| {
        let wait = answer.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
        Transient { status: Some(status), problem: status.to_string(), wait: wait.map(Duration::from_secs) }
    })
}

/// Advice for users without network access.
const OFFLINE: &str = "pass a model's folder, or a name in the Hugging Face cache or an installed package";

/// Returns true if retries cannot fix an error.
fn is_permanent(error: &ureq::Error) -> bool {
    use ureq::Error::{BadUri, HostNotFound, Http, InvalidProxyUrl, Io, Pem, Rustls, Tls};
    match error {
        BadUri(_) | HostNotFound | Http(_) | InvalidProxyUrl | Pem(_) | Rustls(_) | Tls(_) => true,
        // An untrusted certificate is reported as this kind.
        Io(error) => error.kind() == ErrorKind::InvalidData,
        _ => false,
    }
}

/// Returns the wait after an attempt, which doubles each time.
pub(super) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(6))
}

/// Returns the built-in certificates, or those of the file that the environment names.
fn root_certificates() -> Result<RootCerts> {
    let Some(file) = environment::certificates() else { return Ok(RootCerts::WebPki) };
    let bytes = std::fs::read(&file).map_err(|error| Error::io(&file, error))?;
    let certificates = parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(Error::config(
            file,
            "(whole file)",
            "must hold certificates in PEM format; SSL_CERT_FILE or REQUESTS_CA_BUNDLE names this file",
        ));
    }
    Ok(RootCerts::Specific(certificates.into()))
}
