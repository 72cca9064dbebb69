//! State that all requests share: models, options, limits and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Failure, FailureKind};
use super::metrics::Metrics;
use super::models::{ModelKind, Models, Served};
use super::options::ServerOptions;
use crate::error::Error;

/// State of a server.
pub(super) struct App {
    pub(super) models: Models,
    pub(super) options: ServerOptions,
    pub(super) metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    draining: AtomicBool,
}

/// Model in the path of a request, before the route.
#[derive(Clone, Debug)]
pub(super) struct PathModel(pub(super) String);

impl App {
    /// # Errors
    /// [`Error::InvalidArgument`] without models, or for an option that is out of range.
    pub(super) fn new(models: Models, options: ServerOptions) -> crate::Result<Arc<Self>> {
        check(&models, &options)?;
        let models = models.limited(options.max_batch_tokens)?;
        let longest = models.iter().filter_map(|served| served.facts.max_length).max();
        let longest = longest.unwrap_or(options.max_batch_tokens).min(options.max_batch_tokens);
        Ok(Arc::new(Self {
            metrics: Arc::new(Metrics::new(longest, options.max_batch_tokens)),
            permits: Arc::new(Semaphore::new(options.max_concurrent_requests)),
            models,
            options,
            draining: AtomicBool::new(false),
        }))
    }

    /// Reports itself as unhealthy from now on, since the server stops.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn overloaded(&self) -> Failure {
        let problem = format!("the server has {} requests; try again later", self.options.max_concurrent_requests);
        Failure::new(FailureKind::Overloaded, format!("model is overloaded: {problem}"))
    }

    /// Fails when there are as many requests as allowed.
    pub(super) fn check_load(&self) -> Result<(), Failure> {
        if self.permits.available_permits() == 0 { Err(self.overloaded()) } else { Ok(()) }
    }

    /// Takes a request's permit to compute.
    pub(super) fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| self.overloaded())
    }

    /// Number of requests that compute or wait.
    pub(super) fn running(&self) -> usize {
        self.options.max_concurrent_requests - self.permits.available_permits()
    }

    /// Returns the model of a request: the named one, else the first of the first of these kinds that is served.
    pub(super) fn model(&self, name: Option<&str>, kinds: &[ModelKind]) -> Result<&Arc<Served>, Failure> {
        let served = match name {
            Some(name) => Some(self.models.find(name).ok_or_else(|| self.unknown_model(name))?),
            None => {
                let of_kind = |kind: &ModelKind| self.models.iter().find(|served| served.facts.kind == *kind);
                kinds.iter().find_map(of_kind).or_else(|| self.models.iter().next())
            }
        };
        let Some(served) = served else { return Err(self.unknown_model("")) };
        if kinds.contains(&served.facts.kind) {
            return Ok(served);
        }
        let needed: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let (name, kind) = (&served.name, served.facts.kind.name());
        let problem = format!("model {name:?} is {kind}; this route needs {}", needed.join(" or "));
        Err(Failure::new(FailureKind::WrongModel, problem))
    }

    pub(super) fn unknown_model(&self, name: &str) -> Failure {
        let names = self.models.names().join(", ");
        Failure::of(FailureKind::NotFound, "model", format!("{name:?} is not served; served models: {names}"))
    }
}

fn check(models: &Models, options: &ServerOptions) -> crate::Result<()> {
    if models.names().is_empty() {
        return Err(Error::argument("models", "must have at least one model"));
    }
    let counts = [
        ("max_concurrent_requests", options.max_concurrent_requests),
        ("max_batch_tokens", options.max_batch_tokens),
        ("max_client_batch_size", options.max_client_batch_size),
        ("payload_limit", options.payload_limit),
        ("max_connections", options.max_connections),
    ];
    match counts.into_iter().find(|(_, count)| *count == 0) {
        Some((name, _)) => Err(Error::argument(name, "must be at least 1, got 0")),
        None => Ok(()),
    }
}
