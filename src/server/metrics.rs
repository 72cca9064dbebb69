//! Metrics with TEI's names, in the text format of Prometheus.

use std::time::Duration;

use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Metrics of a server.
pub(super) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    successes: IntCounterVec,
    failures: IntCounterVec,
    tasks: Vec<(Task, IntCounter, IntCounter, Histogram)>,
    pub(super) duration: Histogram,
    pub(super) tokenization: Histogram,
    pub(super) queue: Histogram,
    pub(super) inference: Histogram,
    pub(super) input_length: Histogram,
    pub(super) batch_texts: Histogram,
    pub(super) batch_tokens: Histogram,
    pub(super) queue_size: IntGauge,
    pub(super) computing: IntGauge,
    pub(super) cancelled: IntCounter,
}

/// Task of a request, in the names of TEI's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Embed,
    Rerank,
    Predict,
}

impl Task {
    const ALL: [Self; 3] = [Self::Embed, Self::Rerank, Self::Predict];

    fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Rerank => "rerank",
            Self::Predict => "predict",
        }
    }
}

/// Makes metrics in a registry. The names are constants, so that making and registering them can't fail.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        #[expect(clippy::unwrap_used, reason = "only a wrong or a double name fails, and all are constants")]
        let metric = metric.unwrap();
        if let Err(error) = self.0.register(Box::new(metric.clone())) {
            tracing::error!(%error, "metric");
        }
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), &[label]))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }

    fn seconds(&self, name: &str, help: &str) -> Histogram {
        // TEI's buckets: from 15 microseconds to 15 seconds.
        let buckets = std::iter::successors(Some(1.5e-5), |bound| Some(bound * 1.5)).take(35);
        self.histogram(name, help, buckets.collect())
    }
}

/// Returns TEI's hundred buckets up to a number of tokens.
fn hundredths(max: usize) -> Vec<f64> {
    (1..=100).map(|i| max.max(100) as f64 / 100.0 * f64::from(i)).collect()
}

impl Metrics {
    /// Makes metrics of texts up to `max_length` tokens and micro-batches up to `max_batch_tokens`.
    pub(super) fn new(max_length: usize, max_batch_tokens: usize) -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let of_task = |task: Task| {
            let name = task.name();
            let count = make.counter(&format!("te_{name}_count"), "Requests of this task.");
            let success = make.counter(&format!("te_{name}_success"), "Requests of this task that got an answer.");
            let duration = make.seconds(&format!("te_{name}_duration"), "Seconds of a request of this task.");
            (task, count, success, duration)
        };
        let powers = (0..8).map(|power| f64::from(1 << power)).collect();
        let metrics = Self {
            requests: make.counters("te_request_count", "Requests.", "method"),
            successes: make.counters("te_request_success", "Requests that got an answer.", "method"),
            failures: make.counters("te_request_failure", "Requests that failed.", "err"),
            tasks: Task::ALL.map(of_task).into(),
            duration: make.seconds("te_request_duration", "Seconds from a request to its answer."),
            tokenization: make.seconds("te_request_tokenization_duration", "Seconds of tokenizing the first inputs."),
            queue: make.seconds("te_request_queue_duration", "Seconds of waiting for a free thread."),
            inference: make.seconds("te_request_inference_duration", "Seconds of computing."),
            input_length: make.histogram("te_request_input_length", "Tokens of a request.", hundredths(max_length)),
            batch_texts: make.histogram("te_batch_next_size", "Texts of a micro-batch.", powers),
            batch_tokens: make.histogram(
                "te_batch_next_tokens",
                "Tokens of a micro-batch.",
                hundredths(max_batch_tokens.min(4096)),
            ),
            queue_size: make.gauge("te_queue_size", "Requests that wait for a free thread."),
            computing: make.gauge("rushlight_computing", "Requests that compute or wait."),
            cancelled: make.counter("rushlight_cancelled", "Computations that stopped since their client left."),
            registry,
        };
        #[cfg(target_os = "linux")]
        let _ = metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()));
        for label in ["single", "batch"] {
            metrics.requests.with_label_values(&[label]);
            metrics.successes.with_label_values(&[label]);
        }
        metrics
    }

    /// Counts a request and its end: the error's label, or none after success.
    pub(super) fn request(&self, is_batch: bool, error: Option<&str>, duration: Duration) {
        let method = [if is_batch { "batch" } else { "single" }];
        self.requests.with_label_values(&method).inc();
        match error {
            None => {
                self.successes.with_label_values(&method).inc();
                self.duration.observe(duration.as_secs_f64());
            }
            Some(error) => self.failures.with_label_values(&[error]).inc(),
        }
    }

    /// Counts a computation of a task.
    pub(super) fn task(&self, task: Task, succeeded: bool, duration: Duration) {
        if let Some((_, count, success, seconds)) = self.tasks.iter().find(|(other, ..)| *other == task) {
            count.inc();
            if succeeded {
                success.inc();
                seconds.observe(duration.as_secs_f64());
            }
        }
    }

    /// Returns all metrics as text.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics");
        }
        text
    }
}
