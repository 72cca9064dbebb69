//! Pool of models on several devices. They take chunks from one queue, so that none waits for a slower one.
//!
//! The caller's thread drives one model, and the executor's workers drive the others. A driver computes as a caller
//! does: it waits for permits, so models on the CPU share its limit of threads.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::sentence::Model;
use crate::alloc;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::observer::{NoObserver, Observer};
use crate::options::{CallOptions, EncodeOptions};
use crate::threads::executor::{Executor, Lend, PATIENCE, Progress, lock};
use crate::tokenize::Input;
use crate::vectors::embeddings::{Embeddings, Truncated};

/// Maximum inputs of a default chunk.
const MAX_CHUNK: usize = 5000;
/// Number of default chunks for each worker: enough that the last ones end soon.
const CHUNKS: usize = 10;

/// Workers that embed for one model, each on a device. Workers on the CPU share its limit of threads.
///
/// # Examples
/// ```
/// use rushlight::{Device, DevicePool, Input, Model};
///
/// # let model = Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model"))?;
/// // [Device::Cuda(0), Device::Cuda(1)], for example
/// let pool = DevicePool::new(&model, &[Device::Cpu, Device::Cpu])?;
/// let embeddings = pool.encode_inputs(&[Input::Text("one text"), Input::Text("another")], &Default::default(), None)?;
/// assert_eq!(embeddings.len(), 2);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DevicePool {
    workers: Vec<Model>,
}

impl DevicePool {
    /// Makes a worker for each of the devices, which may repeat; see [`Model::on`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty list; [`Error::Device`] for a device that this build or machine lacks.
    pub fn new(model: &Model, devices: &[Device]) -> Result<Self> {
        Self::new_with(model, devices, &CallOptions::default())
    }

    /// Makes the workers like [`DevicePool::new`], with an observer that may stop the loading.
    ///
    /// # Errors
    /// The errors of [`DevicePool::new`], and [`Error::Interrupted`] if the observer stops it.
    pub fn new_with(model: &Model, devices: &[Device], options: &CallOptions<'_>) -> Result<Self> {
        if devices.is_empty() {
            return Err(Error::argument("devices", "must list at least one device, got none"));
        }
        Ok(Self { workers: devices.iter().map(|device| model.on_with(*device, options)).collect::<Result<_>>()? })
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Runs [`Model::encode_inputs`] on all workers, `chunk_size` inputs at a time. The default chunk is a tenth of a
    /// worker's share, at most 5,000 inputs. Order and errors equal those of one model; on CPUs the bits do, too.
    ///
    /// # Errors
    /// The errors of [`Model::encode`], and [`Error::InvalidArgument`] for a `chunk_size` of 0.
    pub fn encode_inputs(
        &self,
        inputs: &[Input<'_>],
        options: &EncodeOptions<'_>,
        chunk_size: Option<usize>,
    ) -> Result<Embeddings> {
        let chunk_size = match chunk_size {
            Some(0) => return Err(Error::argument("chunk_size", "must be at least 1, got 0")),
            Some(size) => size,
            None => inputs.len().div_ceil(self.workers.len() * CHUNKS).clamp(1, MAX_CHUNK),
        };
        let observer = options.observer.unwrap_or(&NoObserver);
        let embed = |worker: &Model, chunk: &[Input<'_>], observer: &dyn Observer| {
            worker.encode_inputs(chunk, &EncodeOptions { observer: Some(observer), ..*options })
        };
        let chunks: Vec<_> = inputs.chunks(chunk_size).collect();
        let embeddings = match &chunks[..] {
            // One empty chunk gives the width and the errors.
            [] => vec![embed(&self.workers[0], &[], observer)?],
            chunks => shard(Executor::get(), &self.workers, chunks, observer, embed)?,
        };
        joined(embeddings, inputs.len())
    }
}

fn joined(chunks: Vec<Embeddings>, rows: usize) -> Result<Embeddings> {
    let columns = chunks.first().map_or(0, Embeddings::dim);
    let truncated = chunks.iter().map(Embeddings::truncated).fold(Truncated::default(), |all, chunk| Truncated {
        count: all.count + chunk.count,
        longest: all.longest.max(chunk.longest),
    });
    let mut data = alloc::with_capacity(rows.saturating_mul(columns), "the embeddings")?;
    chunks.into_iter().for_each(|chunk| data.extend(chunk.into_vec()));
    Ok(Embeddings::new(data, rows, columns, truncated))
}

/// Calls `embed` with every chunk and returns the results in order. One thread at a time drives a worker; it takes the
/// next chunk when it is free.
///
/// # Errors
/// The error of the first chunk that has one; [`Error::Interrupted`] when the observer stops the call. A panic goes on
/// in the caller after all threads have left the call.
fn shard<W: Sync, T: Send>(
    executor: &'static Executor,
    workers: &[W],
    chunks: &[&[Input<'_>]],
    observer: &dyn Observer,
    embed: impl Fn(&W, &[Input<'_>], &dyn Observer) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let call = ShardedCall::new(workers, chunks, embed);
    let status = &call.status;
    let help = || {
        call.drive_worker(|worker, chunk| {
            executor.without_permit(|| call.embed_chunk(worker, chunk, &Watch { status, chunk, observer: None }));
        });
        Progress::Done
    };
    executor.with_workers(workers.len() - 1, Lend::Later, &help, |helpers, _| {
        call.drive_worker(|worker, chunk| {
            call.embed_chunk(worker, chunk, &Watch { status, chunk, observer: Some(observer) });
            status.report(observer);
        });
        helpers.dismiss();
        while helpers.working(PATIENCE) {
            status.report(observer);
        }
        observer.progress(status.embedded.load(Ordering::Relaxed), status.total);
        helpers.check()
    })?;
    call.into_results()
}

/// Call in chunks: its workers, and its results so far.
struct ShardedCall<'a, W, T, F> {
    chunks: &'a [&'a [Input<'a>]],
    embed: F,
    status: Status,
    /// Workers that no thread drives.
    idle: Mutex<Vec<&'a W>>,
    results: Mutex<Results<T>>,
}

/// Progress of a call.
struct Status {
    /// Index of the next chunk.
    next: AtomicUsize,
    /// Index of the first cancelled chunk: after the first failure, or 0 for a stopped call.
    end: AtomicUsize,
    stopped: AtomicBool,
    /// Number of inputs in completed chunks, and of all inputs.
    embedded: AtomicUsize,
    total: usize,
}

/// Results of chunks.
struct Results<T> {
    done: Vec<Option<T>>,
    /// The first chunk that failed, and its failure.
    failure: Option<(usize, Failure)>,
}

enum Failure {
    Error(Error),
    Panic(Box<dyn std::any::Any + Send>),
}

impl<'a, W, T, F> ShardedCall<'a, W, T, F>
where
    F: Fn(&W, &[Input<'_>], &dyn Observer) -> Result<T>,
{
    fn new(workers: &'a [W], chunks: &'a [&'a [Input<'a>]], embed: F) -> Self {
        let status = Status {
            next: AtomicUsize::new(0),
            end: AtomicUsize::new(chunks.len()),
            stopped: AtomicBool::new(false),
            embedded: AtomicUsize::new(0),
            total: chunks.iter().map(|chunk| chunk.len()).sum(),
        };
        let results = Results { done: chunks.iter().map(|_| None).collect(), failure: None };
        let idle = workers.iter().rev().collect();
        Self { chunks, embed, status, idle: Mutex::new(idle), results: Mutex::new(results) }
    }

    /// Drives an idle worker, if there is one, until no chunk is left.
    fn drive_worker(&self, embed_chunk: impl Fn(&W, usize)) {
        let Some(worker) = lock(&self.idle).pop() else { return };
        while let Some(chunk) = self.status.next_chunk() {
            embed_chunk(worker, chunk);
        }
        lock(&self.idle).push(worker);
    }

    /// Embeds a chunk and keeps its result. A failure cancels later chunks.
    fn embed_chunk(&self, worker: &W, chunk: usize, watch: &Watch<'_>) {
        let inputs = self.chunks[chunk];
        let failure = match catch_unwind(AssertUnwindSafe(|| (self.embed)(worker, inputs, watch))) {
            Ok(Ok(result)) => {
                lock(&self.results).done[chunk] = Some(result);
                self.status.embedded.fetch_add(inputs.len(), Ordering::Relaxed);
                return;
            }
            Ok(Err(error)) => {
                let first: usize = self.chunks[..chunk].iter().map(|chunk| chunk.len()).sum();
                Failure::Error(error.map_input_index(|index| first + index))
            }
            Err(panic) => Failure::Panic(panic),
        };
        let mut results = lock(&self.results);
        if results.failure.as_ref().is_none_or(|(first, _)| chunk < *first) {
            results.failure = Some((chunk, failure));
            self.status.end.fetch_min(chunk, Ordering::Relaxed);
        }
    }

    fn into_results(self) -> Result<Vec<T>> {
        if self.status.stopped.into_inner() {
            return Err(Error::Interrupted);
        }
        let results = self.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        match results.failure {
            None => Ok(results.done.into_iter().flatten().collect()),
            Some((_, Failure::Error(error))) => Err(error),
            Some((_, Failure::Panic(panic))) => resume_unwind(panic),
        }
    }
}

impl Status {
    fn next_chunk(&self) -> Option<usize> {
        let chunk = self.next.fetch_add(1, Ordering::Relaxed);
        (!self.is_cancelled(chunk)).then_some(chunk)
    }

    fn is_cancelled(&self, chunk: usize) -> bool {
        chunk >= self.end.load(Ordering::Relaxed)
    }

    /// Asks the caller's observer, which may stop the call.
    fn ask(&self, observer: &dyn Observer) {
        if observer.interrupted() {
            self.stopped.store(true, Ordering::Relaxed);
            self.end.store(0, Ordering::Relaxed);
        }
    }

    fn report(&self, observer: &dyn Observer) {
        observer.progress(self.embedded.load(Ordering::Relaxed), self.total);
        self.ask(observer);
    }
}

/// Observer of a chunk. It stops the chunk when a chunk before it has failed; earlier chunks go on, because the caller
/// gets the first error.
struct Watch<'a> {
    status: &'a Status,
    chunk: usize,
    /// The caller's observer, on the caller's thread alone.
    observer: Option<&'a dyn Observer>,
}

impl Observer for Watch<'_> {
    fn progress(&self, done: usize, _: usize) {
        if let Some(observer) = self.observer {
            observer.progress(self.status.embedded.load(Ordering::Relaxed) + done, self.status.total);
        }
    }

    fn interrupted(&self) -> bool {
        if let Some(observer) = self.observer {
            self.status.ask(observer);
        }
        self.status.is_cancelled(self.chunk)
    }
}

#[cfg(test)]
mod tests;
