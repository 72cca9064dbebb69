//! Requests to the hub: redirects, waiting, trying again, and who may see the token.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, StatusCode, Version};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::address::{escape, origin, shown, target};
use super::stop::Stop;
use crate::error::{Error, Result};
use crate::options::HubToken;
use crate::source::environment;

/// How often something is asked for that the network or the hub fails to give for the moment.
pub(super) const ATTEMPTS: u32 = 5;
/// The longest wait that the hub can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
const REDIRECTS: usize = 10;

/// The hub, as one user sees it.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    endpoint: Arc<str>,
    token: Option<Arc<str>>,
    pub(super) stop: Stop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    /// The headers alone: where it is redirected to another host, those of the redirect, since it is they that tell of the
    /// file.
    Head,
}

/// An answer, and the address that gave it.
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

    /// Where it is redirected to, if it is.
    pub(super) fn redirect(&self) -> Option<&str> {
        self.header("location").filter(|_| self.status().is_redirection())
    }

    /// How the body is encoded, if it isn't as it is: its size and hash would be those of something else.
    fn encoding(&self) -> Option<String> {
        let values = self.response.headers().get_all("content-encoding").iter();
        let mut values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_lowercase());
        values.find(|value| !["", "identity"].contains(&&**value))
    }

    /// Whether the body has an end of its own, so that one that ended too early is told from a whole one.
    pub(super) fn is_framed(&self) -> bool {
        let chunked = || self.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        self.response.body().content_length().is_some() || (self.response.version() >= Version::HTTP_11 && chunked())
    }

    /// Whether the hub says that it is not there. To those without a token it says 401 of a repository that isn't.
    pub(super) fn is_absent(&self) -> bool {
        let code = self.header("x-error-code");
        self.status() == StatusCode::NOT_FOUND
            || (self.status() == StatusCode::UNAUTHORIZED && code == Some("RepoNotFound"))
    }

    /// What is wrong where the hub refuses, and what to do.
    pub(super) fn refusal(&self, client: &Client) -> Error {
        let status = self.status();
        let more = match (status, client.token.is_some()) {
            (StatusCode::UNAUTHORIZED, true) => "the access token is not accepted",
            (StatusCode::UNAUTHORIZED, false) => "needs an access token: give token=, or set HF_TOKEN",
            (StatusCode::FORBIDDEN, _) if self.header("x-error-code") == Some("GatedRepo") => {
                "gated: accept its conditions on the hub's page of it, and give an access token of that account (token=, or \
                 HF_TOKEN)"
            }
            (StatusCode::FORBIDDEN, _) => "the access token, if any, gives no access to it",
            _ => "the hub doesn't give it",
        };
        let problem = format!("{status}: {more}");
        Error::Download { url: shown(&self.url), status: Some(status.as_u16()), problem }
    }
}

/// What may go away by itself.
struct Passing {
    status: Option<StatusCode>,
    problem: String,
    wait: Option<Duration>,
}

impl Client {
    pub(super) fn new(token: &HubToken, stop: Stop) -> Result<Self> {
        let timeout = Some(environment::timeout()?);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("rushlight/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity") // sizes are those of the files
            .tls_config(TlsConfig::builder().root_certs(root_certificates()?).build())
            .timeout_connect(timeout)
            .timeout_recv_response(timeout)
            .timeout_per_read(timeout)
            .build();
        let endpoint = environment::endpoint();
        if origin(&endpoint).is_none() {
            let problem = format!("must be an address such as https://huggingface.co, got {:?}", shown(&endpoint));
            return Err(Error::argument("HF_ENDPOINT", problem));
        }
        let token = environment::token(token)?.map(Arc::from);
        Ok(Self { agent: config.into(), endpoint: endpoint.into(), token, stop })
    }

    /// The hub's address, as it may be shown.
    pub(super) fn shown(&self) -> String {
        shown(&self.endpoint)
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The address of what is on the hub at a path of these parts.
    pub(super) fn address<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> String {
        path.into_iter().fold(self.endpoint.to_string(), |address, part| format!("{address}/{}", escape(part)))
    }

    /// Asks for what is at `url`, from the byte `from` on; again and again where the network or the hub fails for the moment.
    pub(super) fn ask(&self, method: Method, url: &str, from: u64) -> Result<Answer> {
        self.ask_often(ATTEMPTS, method, url, from)
    }

    /// [`Client::ask`], at most so often.
    pub(super) fn ask_often(&self, attempts: u32, method: Method, url: &str, from: u64) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            self.stop.check()?;
            let Passing { status, problem, wait } = match self.ask_once(method, url, from)? {
                Ok(answer) => match passing(&answer) {
                    Some(passing) => passing,
                    None => return Ok(answer),
                },
                Err(problem) => Passing { status: None, problem, wait: None },
            };
            let wait = wait.unwrap_or_else(|| backoff(attempt));
            if attempt >= attempts || wait > LONGEST_WAIT {
                let problem = match wait > LONGEST_WAIT {
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

    /// Asks once, redirects followed; the inner error is one that may go away.
    fn ask_once(&self, method: Method, url: &str, from: u64) -> Result<std::result::Result<Answer, String>> {
        let fail = |url: &str, problem: String| Err(Error::Download { url: shown(url), status: None, problem });
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let request = match method {
                Method::Get => self.agent.get(&url),
                Method::Head => self.agent.head(&url),
            };
            let request = match &self.token {
                // To nobody but the hub itself.
                Some(token) if origin(&url) == origin(&self.endpoint) => {
                    request.header("authorization", format!("Bearer {token}"))
                }
                _ => request,
            };
            let request = if from > 0 { request.header("range", format!("bytes={from}-")) } else { request };
            let answer = match request.call() {
                Ok(response) => Answer { url, response },
                Err(error) if is_lasting(&error) => return fail(&url, error.to_string()),
                Err(error) => return Ok(Err(error.to_string())),
            };
            let Some(location) = answer.redirect() else {
                return match answer.encoding() {
                    Some(encoding) => fail(
                        &answer.url,
                        format!("sent with the content-encoding {encoding:?}, which wasn't asked for"),
                    ),
                    None => Ok(Ok(answer)),
                };
            };
            let Some(next) = target(&answer.url, location) else {
                return fail(&answer.url, format!("redirects to {:?}, where nothing is fetched from", shown(location)));
            };
            if method == Method::Head && origin(&next) != origin(&answer.url) {
                return Ok(Ok(answer));
            }
            url = next;
        }
        fail(&url, format!("more than {REDIRECTS} redirects"))
    }
}

/// Whether an answer is one that may be another a little later.
fn passing(answer: &Answer) -> Option<Passing> {
    let status = answer.status();
    let busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    (busy || status.is_server_error()).then(|| {
        let wait = answer.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
        Passing { status: Some(status), problem: status.to_string(), wait: wait.map(Duration::from_secs) }
    })
}

/// What can be done where there is no hub.
const OFFLINE: &str = "name a model's folder, or one that is in the Hugging Face cache or in an installed package";

/// Whether an error will be the same however often it is tried.
fn is_lasting(error: &ureq::Error) -> bool {
    use ureq::Error::{BadUri, HostNotFound, Http, InvalidProxyUrl, Io, Pem, Rustls, Tls};
    match error {
        BadUri(_) | HostNotFound | Http(_) | InvalidProxyUrl | Pem(_) | Rustls(_) | Tls(_) => true,
        // A certificate that isn't trusted comes as such.
        Io(error) => error.kind() == ErrorKind::InvalidData,
        _ => false,
    }
}

/// How long to wait after so many attempts: longer each time.
pub(super) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(6))
}

/// Those that are built in, or those of the file that the environment names.
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
            "must be certificates in PEM form, as SSL_CERT_FILE names them",
        ));
    }
    Ok(RootCerts::Specific(certificates.into()))
}
