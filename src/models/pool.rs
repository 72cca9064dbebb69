//! A call spread over several models, each on a device: they take chunks from one queue, so none waits for a slower one.
//!
//! The caller's thread drives one model, and the executor's workers drive the others. A driver computes as a caller does: it
//! waits for permits, so models on the CPU share its limit of threads.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::sentence::Model;
use crate::alloc;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::observer::{NoObserver, Observer};
use crate::options::EncodeOptions;
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
    /// [`Error::InvalidArgument`] for no devices; [`Error::Device`] for one that this build or this machine lacks.
    pub fn new(model: &Model, devices: &[Device]) -> Result<Self> {
        if devices.is_empty() {
            return Err(Error::argument("devices", "must be at least one"));
        }
        Ok(Self { workers: devices.iter().map(|device| model.on(*device)).collect::<Result<_>>()? })
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Runs [`Model::encode_inputs`] on all workers, `chunk_size` inputs at a time. Without a `chunk_size`, a chunk is a tenth
    /// of a worker's share and at most 5,000 inputs. Order and errors are those of one model; on CPUs the bits are, too.
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

/// Calls `embed` with every chunk and returns the results in order. One thread at a time drives a worker; it takes the next
/// chunk when it is free.
///
/// # Errors
/// The error of the first chunk that has one; [`Error::Interrupted`] when the observer stops the call. A panic goes on in the
/// caller after all threads have left the call.
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

/// A call in chunks: its workers, and its results so far.
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
    /// Index from which on chunks are cancelled: behind the first failure, or 0 for a stopped call.
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

    /// Embeds a chunk and keeps its result. A failure cancels the chunks behind it.
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
                Failure::Error(error.placed(|index| first + index))
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

/// Observer of a chunk. It stops the chunk when a chunk before it has failed; earlier chunks go on, because the caller gets
/// the first error.
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::threads::executor::Caller;

    /// A device with a delay for each chunk and a behaviour by the chunk's first input.
    struct Device {
        delay: Duration,
        chunks: AtomicUsize,
        behaves: fn(usize) -> Behaviour,
    }

    enum Behaviour {
        Well,
        Fails,
        Panics,
        /// Hangs until it is stopped.
        Hangs,
    }

    impl Device {
        fn new(milliseconds: u64, behaves: fn(usize) -> Behaviour) -> Self {
            Self { delay: Duration::from_millis(milliseconds), chunks: AtomicUsize::new(0), behaves }
        }

        /// Returns the numbers that the texts hold: their indices.
        fn embed(&self, chunk: &[Input<'_>], observer: &dyn Observer) -> Result<Vec<usize>> {
            let first = number(&chunk[0]);
            self.chunks.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(self.delay);
            match (self.behaves)(first) {
                Behaviour::Well => Ok(chunk.iter().map(number).collect()),
                Behaviour::Fails => Err(Error::InvalidInput { index: 1, problem: "is bad".to_owned() }),
                Behaviour::Panics => panic!("at {first}"),
                Behaviour::Hangs => {
                    while !observer.interrupted() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(Error::Interrupted)
                }
            }
        }
    }

    fn number(input: &Input<'_>) -> usize {
        match input {
            Input::Text(text) => text.parse().unwrap(),
            Input::Pair(..) => panic!("no pair"),
        }
    }

    fn well(_: usize) -> Behaviour {
        Behaviour::Well
    }

    /// Embeds with as many threads as devices.
    fn run(devices: &[Device], inputs: usize, chunk_size: usize, observer: &dyn Observer) -> Result<Vec<usize>> {
        run_on(Executor::for_test(devices.len()), devices, inputs, chunk_size, observer)
    }

    fn run_on(
        executor: &'static Executor,
        devices: &[Device],
        inputs: usize,
        chunk_size: usize,
        observer: &dyn Observer,
    ) -> Result<Vec<usize>> {
        let texts: Vec<_> = (0..inputs).map(|i| i.to_string()).collect();
        let inputs = Input::texts(&texts);
        let chunks: Vec<_> = inputs.chunks(chunk_size).collect();
        shard(executor, devices, &chunks, observer, Device::embed).map(|chunks| chunks.concat())
    }

    /// A device that computes on the CPU waits for a permit, which its driver must not hold.
    #[test]
    fn devices_on_the_cpu_share_any_limit_of_threads() {
        for limit in [1, 2, 5] {
            let executor = Executor::for_test(limit);
            let computing = AtomicUsize::new(0);
            let embed = |_: &(), chunk: &[Input<'_>], _: &dyn Observer| {
                let caller = Caller::new(executor);
                caller.next_turn(&|| Ok(()))?;
                assert!(computing.fetch_add(1, Ordering::SeqCst) < limit);
                std::thread::sleep(Duration::from_micros(100));
                computing.fetch_sub(1, Ordering::SeqCst);
                Ok(chunk.len())
            };
            let inputs = [Input::Text("a"); 100];
            let chunks: Vec<_> = inputs.chunks(1).collect();
            let lengths = shard(executor, &[(); 3], &chunks, &NoObserver, embed).unwrap();
            assert_eq!(lengths, [1; 100]);
        }
    }

    #[test]
    fn many_calls_at_once_make_no_more_threads_than_the_limit_and_keep_them() {
        let executor = Executor::for_test(4);
        let mut threads = std::collections::HashSet::new();
        for _ in 0..5 {
            std::thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        let devices = [Device::new(0, well), Device::new(0, well), Device::new(0, well)];
                        assert_eq!(run_on(executor, &devices, 50, 1, &NoObserver).unwrap().len(), 50);
                    });
                }
            });
            threads.extend(executor.worker_threads());
        }
        assert!((1..=4).contains(&threads.len()), "{threads:?}");
    }

    #[test]
    fn progress_grows_to_all_inputs_on_the_callers_thread() {
        struct Watched {
            caller: std::thread::ThreadId,
            done: AtomicUsize,
        }
        impl Observer for Watched {
            fn progress(&self, done: usize, total: usize) {
                assert_eq!((std::thread::current().id(), total), (self.caller, 301));
                assert!(self.done.fetch_max(done, Ordering::SeqCst) <= done);
            }
        }
        let observer = Watched { caller: std::thread::current().id(), done: AtomicUsize::new(0) };
        let devices = [Device::new(1, well), Device::new(0, well)];
        run(&devices, 301, 3, &observer).unwrap();
        assert_eq!(observer.done.into_inner(), 301);
    }

    #[test]
    fn the_order_is_kept_and_a_slow_device_does_less() {
        let devices = [Device::new(0, well), Device::new(30, well), Device::new(2, well)];
        assert_eq!(run(&devices, 301, 3, &NoObserver).unwrap(), (0..301).collect::<Vec<_>>());
        let [fast, slow, _] = devices.each_ref().map(|device| device.chunks.load(Ordering::Relaxed));
        assert!(slow < fast / 2, "{slow} {fast}");
    }

    #[test]
    fn the_first_error_reaches_the_caller_with_the_index_of_its_input() {
        // Chunk 8 fails at once. Chunk 4, on a slow device, fails later and is the first.
        let devices = [
            Device::new(20, |first| if first == 12 { Behaviour::Fails } else { Behaviour::Well }),
            Device::new(20, |first| if first == 12 { Behaviour::Fails } else { Behaviour::Well }),
            Device::new(0, |first| if first >= 24 { Behaviour::Fails } else { Behaviour::Well }),
        ];
        for _ in 0..3 {
            let error = run(&devices, 3000, 3, &NoObserver).unwrap_err();
            assert!(matches!(error, Error::InvalidInput { index: 13 | 25.., .. }), "{error}");
            assert!(devices.iter().all(|device| device.chunks.load(Ordering::Relaxed) < 900));
        }
    }

    #[test]
    fn a_panic_goes_on_in_the_caller_and_the_devices_stay_usable() {
        static BROKEN: AtomicBool = AtomicBool::new(true);
        let breaks = |first| match BROKEN.load(Ordering::Relaxed) && first >= 6 {
            true => Behaviour::Panics,
            false => Behaviour::Well,
        };
        let devices = [Device::new(1, breaks), Device::new(0, breaks)];
        let panic = catch_unwind(AssertUnwindSafe(|| run(&devices, 100, 2, &NoObserver))).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().starts_with("at "));
        BROKEN.store(false, Ordering::Relaxed);
        assert_eq!(run(&devices, 100, 2, &NoObserver).unwrap().len(), 100);
    }

    #[test]
    fn devices_that_hang_are_stopped_with_the_call() {
        struct Impatient(AtomicUsize);
        impl Observer for Impatient {
            fn interrupted(&self) -> bool {
                self.0.fetch_add(1, Ordering::Relaxed) >= 2
            }
        }
        let devices = [Device::new(0, |_| Behaviour::Hangs), Device::new(0, |_| Behaviour::Hangs)];
        let error = run(&devices, 100, 2, &Impatient(AtomicUsize::new(0))).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
    }

    #[test]
    fn a_device_that_hangs_behind_a_failure_is_stopped() {
        let devices = [
            Device::new(5, |first| if first == 0 { Behaviour::Fails } else { Behaviour::Hangs }),
            Device::new(5, |first| if first == 0 { Behaviour::Fails } else { Behaviour::Hangs }),
        ];
        let error = run(&devices, 100, 2, &NoObserver).unwrap_err();
        assert!(matches!(error, Error::InvalidInput { index: 1, .. }), "{error}");
    }
}
