//! Computing for a request: on a thread that may block, with a permit, until the client leaves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::app::App;
use super::body::json_response;
use super::failure::{Failure, FailureKind};
use super::metrics::{Metrics, Task};
use super::models::{AnyModel, Served};
use super::routes::OneInput;
use crate::observer::{Observer, Step};
use crate::threads::executor::lock;

/// Description of a computation, for metrics.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) task: Task,
    /// Number of inputs.
    pub(super) inputs: usize,
    /// True for one short input. Its computation takes little longer than waking another thread.
    is_short: bool,
}

impl Job {
    /// Describes a computation of a number of texts.
    pub(super) fn new(task: Task, inputs: usize) -> Self {
        Self { task, inputs, is_short: false }
    }

    /// Describes the embedding of inputs.
    pub(super) fn embed(inputs: &[OneInput]) -> Self {
        /// Most bytes of a short input.
        const SHORT: usize = 1024;
        let is_short = matches!(inputs, [input] if input.as_input().bytes() <= SHORT);
        Self { task: Task::Embed, inputs: inputs.len(), is_short }
    }
}

/// Tells the outermost layer that a request has several inputs.
#[derive(Clone, Copy)]
pub(super) struct IsBatch;

/// Observer of a computation: stops it when the client leaves, and measures its steps.
pub(super) struct Watch {
    stopped: AtomicBool,
    is_queued: AtomicBool,
    start: Instant,
    steps: Mutex<Steps>,
    metrics: Arc<Metrics>,
}

#[derive(Clone, Copy, Default)]
struct Steps {
    tokenized: Option<Instant>,
    began: Option<Instant>,
    tokens: usize,
}

impl Watch {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.computing.inc();
        metrics.queue_size.inc();
        Self {
            stopped: AtomicBool::new(false),
            is_queued: AtomicBool::new(true),
            start: Instant::now(),
            steps: Mutex::default(),
            metrics,
        }
    }

    /// Number of tokens that were computed.
    pub(super) fn tokens(&self) -> usize {
        lock(&self.steps).tokens
    }

    /// Tells the metrics that the request waits no more.
    fn leave_queue(&self) {
        if self.is_queued.swap(false, Ordering::Relaxed) {
            self.metrics.queue_size.dec();
        }
    }

    /// Returns the seconds of tokenizing, waiting and computing.
    fn times(&self) -> [Duration; 3] {
        let Steps { tokenized, began, .. } = *lock(&self.steps);
        let tokenized = tokenized.unwrap_or(self.start);
        let began = began.unwrap_or(tokenized);
        [tokenized - self.start, began - tokenized, began.elapsed()]
    }
}

impl Observer for Watch {
    fn progress(&self, done: usize, _: usize) {
        if done > 0 {
            self.leave_queue();
        }
    }

    fn interrupted(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn step(&self, step: Step) {
        let mut steps = lock(&self.steps);
        match step {
            Step::Tokenized => {
                steps.tokenized.get_or_insert_with(Instant::now);
            }
            Step::Began(instant) => {
                steps.began.get_or_insert(instant);
                self.leave_queue();
            }
            Step::Computed { texts, tokens } => {
                self.metrics.batch_texts.observe(texts as f64);
                self.metrics.batch_tokens.observe(tokens as f64);
            }
            Step::Finished { tokens } => steps.tokens += tokens,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.metrics.computing.dec();
        self.leave_queue();
    }
}

/// Stops the computation when the request's future is dropped, which is when the client has left.
struct StopOnDrop(Arc<Watch>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

/// Computes an answer's JSON with a model. The permit is held until the computation ends.
pub(super) async fn compute(
    app: &App,
    served: &Arc<Served>,
    job: Job,
    work: impl FnOnce(&AnyModel, &Watch) -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<Response, Failure> {
    let permit = app.permit()?;
    let model = served.model().await?;
    let watch = Arc::new(Watch::new(Arc::clone(&app.metrics)));
    let _stop = StopOnDrop(Arc::clone(&watch));
    let served = Arc::clone(served);
    // It isn't stopped if its client leaves, and delays no other.
    let here = job.is_short && may_block() && app.metrics.computing.get() == 1;
    let task = move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&model, &watch))).unwrap_or_else(|_| {
            let message = "this is a bug in rushlight, please report it: the computation panicked";
            Err(Failure::new(FailureKind::Broken, message))
        });
        let times = record(job, &served, &watch, &result);
        drop((watch, permit));
        result.map(|body| (body, times))
    };
    let (body, times) = if here {
        tokio::task::block_in_place(task)?
    } else {
        let broken = |error: tokio::task::JoinError| Failure::new(FailureKind::Broken, error.to_string());
        tokio::task::spawn_blocking(task).await.map_err(broken)??
    };
    let mut response = json_response(StatusCode::OK, body);
    for (name, time) in ["x-tokenization-time", "x-queue-time", "x-inference-time"].into_iter().zip(times) {
        response.headers_mut().insert(name, HeaderValue::from(time.as_millis() as u64));
    }
    #[cfg(feature = "otlp")]
    response.extensions_mut().insert(super::traces::Times(times));
    if job.inputs > 1 {
        response.extensions_mut().insert(IsBatch);
    }
    Ok(response)
}

/// Returns true if other threads of the runtime take over what this one has to do while it blocks.
fn may_block() -> bool {
    tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread
}

/// Records the end of a computation, and returns its times.
fn record(job: Job, served: &Served, watch: &Watch, result: &Result<Vec<u8>, Failure>) -> [Duration; 3] {
    let (metrics, times) = (&watch.metrics, watch.times());
    let cancelled = watch.interrupted();
    metrics.task(job.task, result.is_ok() && !cancelled, watch.start.elapsed());
    match result {
        _ if cancelled => metrics.cancelled.inc(),
        Ok(_) => {
            let [tokenization, queue, inference] = times.map(|time| time.as_secs_f64());
            metrics.tokenization.observe(tokenization);
            metrics.queue.observe(queue);
            metrics.inference.observe(inference);
            metrics.input_length.observe(watch.tokens() as f64);
            served.healthy.store(true, Ordering::Relaxed);
        }
        Err(failure) if matches!(failure.kind, FailureKind::Broken | FailureKind::Backend) => {
            tracing::error!(model = served.name, error = failure.message, "computation failed");
            served.healthy.store(false, Ordering::Relaxed);
        }
        Err(_) => {}
    }
    times
}
