//! A call spread over workers, each on a device of its own: they take chunks from one queue, so none waits for a slower one.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::sentence::Model;
use crate::alloc;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::observer::{NoObserver, Observer};
use crate::options::EncodeOptions;
use crate::threads::schedule::lock;
use crate::tokenize::Input;
use crate::vectors::embeddings::{Embeddings, Truncated};

/// How often the caller's observer is asked.
const PATIENCE: Duration = Duration::from_millis(20);
/// Inputs of a chunk at most, where the caller doesn't say.
const MOST: usize = 5000;
/// Chunks for each worker, where the caller doesn't say: enough that the last ones are soon done.
const CHUNKS: usize = 10;

/// Workers that embed for one model, on one device each. Those on the processor share its limit of threads.
#[derive(Clone, Debug)]
pub struct DevicePool {
    workers: Vec<Model>,
}

impl DevicePool {
    /// A worker for each of the devices, which may come several times; see [`Model::on`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there are none; [`Error::Device`] for one that this build or this machine lacks.
    pub fn new(model: &Model, devices: &[Device]) -> Result<Self> {
        if devices.is_empty() {
            return Err(Error::argument("devices", "must be at least one"));
        }
        Ok(Self { workers: devices.iter().map(|device| model.on(*device)).collect::<Result<_>>()? })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// [`Model::encode_inputs`], by all workers: `chunk_size` inputs at a time, or a tenth of each worker's share and at most
    /// 5,000. Order and errors are as by one, and on processors the bits are.
    ///
    /// # Errors
    /// As [`Model::encode`], and [`Error::InvalidArgument`] for a `chunk_size` of 0.
    pub fn encode_inputs(
        &self,
        inputs: &[Input<'_>],
        options: &EncodeOptions<'_>,
        chunk_size: Option<usize>,
    ) -> Result<Embeddings> {
        let chunk_size = match chunk_size {
            Some(0) => return Err(Error::argument("chunk_size", "must be at least 1, got 0")),
            Some(size) => size,
            None => inputs.len().div_ceil(self.workers.len() * CHUNKS).clamp(1, MOST),
        };
        let observer = options.observer.unwrap_or(&NoObserver);
        let embed = |worker: &Model, chunk: &[Input<'_>], observer: &dyn Observer| {
            worker.encode_inputs(chunk, &EncodeOptions { observer: Some(observer), ..*options })
        };
        let chunks: Vec<_> = inputs.chunks(chunk_size).collect();
        let parts = match &chunks[..] {
            // Its width and its errors.
            [] => vec![embed(&self.workers[0], &[], observer)?],
            chunks => shard(&self.workers, chunks, observer, embed)?,
        };
        joined(parts, inputs.len())
    }
}

fn joined(parts: Vec<Embeddings>, rows: usize) -> Result<Embeddings> {
    let columns = parts.first().map_or(0, Embeddings::dim);
    let truncated = parts.iter().map(Embeddings::truncated).fold(Truncated::default(), |all, part| Truncated {
        count: all.count + part.count,
        longest: all.longest.max(part.longest),
    });
    let mut data = alloc::with_capacity(rows.saturating_mul(columns), "the embeddings")?;
    parts.into_iter().for_each(|part| data.extend(part.into_vec()));
    Ok(Embeddings::new(data, rows, columns, truncated))
}

/// What the chunks have come to.
struct Results<T> {
    done: Vec<Option<T>>,
    /// Inputs of the chunks that are done.
    inputs: usize,
    /// The first chunk that failed, and how.
    failure: Option<(usize, Failure)>,
    workers: usize,
}

enum Failure {
    Error(Error),
    Panic(Box<dyn std::any::Any + Send>),
}

/// Stops a worker at a chunk behind the first that failed. Chunks before that go on, for the error that the caller gets is
/// the first one's.
struct Watch<'a> {
    chunk: usize,
    /// Chunks from here on are in vain.
    end: &'a AtomicUsize,
}

impl Observer for Watch<'_> {
    fn interrupted(&self) -> bool {
        self.chunk >= self.end.load(Ordering::Relaxed)
    }
}

/// `embed` of every chunk, in their order, by the workers: each on a thread of its own takes the next one.
///
/// # Errors
/// That of the first chunk that has one; [`Error::Interrupted`] where the observer asks to stop. A panic goes on in the
/// caller, when all workers have ended.
fn shard<W: Sync, T: Send>(
    workers: &[W],
    chunks: &[&[Input<'_>]],
    observer: &dyn Observer,
    embed: impl Fn(&W, &[Input<'_>], &dyn Observer) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let total = chunks.iter().map(|chunk| chunk.len()).sum();
    let starts: Vec<usize> =
        chunks.iter().scan(0, |end, chunk| Some(std::mem::replace(end, *end + chunk.len()))).collect();
    let done = chunks.iter().map(|_| None).collect();
    let results = Mutex::new(Results { done, inputs: 0, failure: None, workers: workers.len() });
    let (next, end, news) = (AtomicUsize::new(0), AtomicUsize::new(chunks.len()), Condvar::new());
    let fail = |chunk: usize, failure| {
        let mut results = lock(&results);
        if results.failure.as_ref().is_none_or(|(first, _)| chunk < *first) {
            results.failure = Some((chunk, failure));
            end.fetch_min(chunk, Ordering::Relaxed);
        }
    };
    let work = |worker: &W| {
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            let watch = Watch { chunk, end: &end };
            if watch.interrupted() {
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| embed(worker, chunks[chunk], &watch))) {
                Ok(Ok(part)) => {
                    let mut results = lock(&results);
                    results.done[chunk] = Some(part);
                    results.inputs += chunks[chunk].len();
                }
                Ok(Err(error)) => fail(chunk, Failure::Error(error.placed(|index| starts[chunk] + index))),
                Err(panic) => fail(chunk, Failure::Panic(panic)),
            }
            news.notify_all();
        }
        lock(&results).workers -= 1;
        news.notify_all();
    };
    let mut stopped = false;
    std::thread::scope(|scope| {
        for worker in workers {
            // Where the system has no more threads, those that run do it all.
            if std::thread::Builder::new().spawn_scoped(scope, || work(worker)).is_err() {
                lock(&results).workers -= 1;
            }
        }
        if lock(&results).workers == 0 {
            lock(&results).workers = 1;
            work(&workers[0]);
        }
        loop {
            let mut guard = lock(&results);
            if guard.workers > 0 {
                (guard, _) = news.wait_timeout(guard, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            }
            let (inputs, ended) = (guard.inputs, guard.workers == 0);
            drop(guard);
            observer.progress(inputs, total);
            if ended {
                break;
            }
            if observer.interrupted() {
                end.store(0, Ordering::Relaxed);
                stopped = true;
            }
        }
    });
    if stopped {
        return Err(Error::Interrupted);
    }
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    match results.failure {
        None => Ok(results.done.into_iter().flatten().collect()),
        Some((_, Failure::Error(error))) => Err(error),
        Some((_, Failure::Panic(panic))) => resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A device that takes its time for a chunk, and fails or panics where that is due.
    struct Device {
        delay: Duration,
        chunks: AtomicUsize,
        behaves: fn(usize) -> Behaviour,
    }

    enum Behaviour {
        Well,
        Fails,
        Panics,
        /// Until it is stopped.
        Hangs,
    }

    impl Device {
        fn new(milliseconds: u64, behaves: fn(usize) -> Behaviour) -> Self {
            Self { delay: Duration::from_millis(milliseconds), chunks: AtomicUsize::new(0), behaves }
        }

        /// The lengths of the texts, which are the numbers of their places.
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

    fn run(devices: &[Device], inputs: usize, chunk_size: usize, observer: &dyn Observer) -> Result<Vec<usize>> {
        let texts: Vec<_> = (0..inputs).map(|i| i.to_string()).collect();
        let inputs = Input::texts(&texts);
        let chunks: Vec<_> = inputs.chunks(chunk_size).collect();
        shard(devices, &chunks, observer, Device::embed).map(|parts| parts.concat())
    }

    #[test]
    fn the_order_is_kept_and_a_slow_device_does_less() {
        let devices = [Device::new(0, well), Device::new(30, well), Device::new(2, well)];
        assert_eq!(run(&devices, 301, 3, &NoObserver).unwrap(), (0..301).collect::<Vec<_>>());
        let [fast, slow, _] = devices.each_ref().map(|device| device.chunks.load(Ordering::Relaxed));
        assert!(slow < fast / 2, "{slow} {fast}");
    }

    #[test]
    fn the_first_error_reaches_the_caller_with_the_place_of_its_input() {
        // Chunk 8 fails at once; chunk 4, which a slow device has, fails later and comes first.
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
    fn one_that_hangs_behind_a_failure_is_stopped() {
        let devices = [
            Device::new(5, |first| if first == 0 { Behaviour::Fails } else { Behaviour::Hangs }),
            Device::new(5, |first| if first == 0 { Behaviour::Fails } else { Behaviour::Hangs }),
        ];
        let error = run(&devices, 100, 2, &NoObserver).unwrap_err();
        assert!(matches!(error, Error::InvalidInput { index: 1, .. }), "{error}");
    }
}
