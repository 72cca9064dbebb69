//! Work over threads: each takes the next piece until none is left; the first error, or the caller, stops them all.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process;

/// Watches a call that computes, and may stop it. Both methods are called on the caller's own thread.
pub trait Observer: Sync {
    /// `done` of `total` texts are computed; of embeddings, where communities are looked for.
    fn progress(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// Whether the call shall stop, with [`Error::Interrupted`]. Asked several times a second.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Nobody watching.
pub(crate) struct Nobody;

impl Observer for Nobody {}

/// Does both, at once where a thread is free; the first one's error before the second one's.
pub(crate) fn both<A: Send, B>(
    first: impl Fn() -> Result<A> + Sync,
    second: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    let helper = process::free_permits(1)?;
    if helper.is_empty() {
        return Ok((first()?, second()?));
    }
    std::thread::scope(|scope| {
        let handle = std::thread::Builder::new().spawn_scoped(scope, &first);
        let second = second();
        let first = match handle {
            Ok(handle) => handle.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // The system has no more threads.
            Err(_) => first(),
        };
        Ok((first?, second?))
    })
}

/// How often a caller that has no piece left asks its observer.
const PATIENCE: Duration = Duration::from_millis(20);

/// Calls `work(piece, checkpoint)` for every piece, on at most `threads` threads and no more than the process allows, the
/// caller's among them. `work` calls `checkpoint` now and then and passes on its error. `finished` is called on the
/// caller's thread after each of its own pieces.
///
/// # Errors
/// The first error of any piece; [`Error::Interrupted`] where the observer asks to stop.
pub(crate) fn run<T, W>(
    pieces: impl Iterator<Item = T> + Send,
    threads: usize,
    observer: &dyn Observer,
    finished: &dyn Fn(),
    work: W,
) -> Result<()>
where
    W: Fn(T, &dyn Fn() -> Result<()>) -> Result<()> + Sync,
{
    let threads = threads.min(process::num_threads()?);
    let pieces = Mutex::new(pieces);
    let next = || lock(&pieces).next();
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let fail = |error| {
        lock(&failure).get_or_insert(error);
        stop.store(true, Ordering::Relaxed);
    };
    let stopped = || if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) };
    let ask = || if observer.interrupted() { Err(Error::Interrupted) } else { stopped() };
    let take = |checkpoint: &dyn Fn() -> Result<()>, finished: &dyn Fn()| {
        let _guard = StopOnPanic(&stop);
        while let Some(piece) = next() {
            let work = |_permit| work(piece, checkpoint);
            if let Err(error) = checkpoint().and_then(|()| process::permit(checkpoint)).and_then(work) {
                return fail(error);
            }
            finished();
        }
    };
    let helpers = Helpers::default();
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let helper = helpers.enter();
            let run = || {
                let _helper = helper;
                take(&stopped, &|| {});
            };
            // Where the system has no more threads, those that run do it all.
            let _ = std::thread::Builder::new().spawn_scoped(scope, run);
        }
        take(&ask, finished);
        while helpers.working(PATIENCE) {
            if let Err(error) = ask() {
                fail(error);
            }
        }
    });
    lock(&failure).take().map_or(Ok(()), Err)
}

/// A lock that a panic elsewhere doesn't take away.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the threads that help, so that the caller can wait for them and be asked meanwhile.
#[derive(Default)]
struct Helpers {
    count: Mutex<usize>,
    left: Condvar,
}

impl Helpers {
    fn enter(&self) -> Helper<'_> {
        *lock(&self.count) += 1;
        Helper(self)
    }

    /// Waits a while for all to be done; whether some still work.
    fn working(&self, patience: Duration) -> bool {
        let count = lock(&self.count);
        if *count == 0 {
            return false;
        }
        *self.left.wait_timeout(count, patience).unwrap_or_else(PoisonError::into_inner).0 > 0
    }
}

/// A thread that helps, until it is dropped.
struct Helper<'a>(&'a Helpers);

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.left.notify_all();
    }
}

/// Makes the other threads stop where one panics; the scope then panics in the caller.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        for pieces in [0, 1, 2, 100] {
            let done: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            run(0..pieces, 3, &Nobody, &|| {}, |piece, _| {
                done[piece].fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn the_first_error_reaches_the_caller_and_the_rest_is_left() {
        let done = AtomicUsize::new(0);
        let result = run(0..10_000, 3, &Nobody, &|| {}, |piece, _| {
            done.fetch_add(1, Ordering::Relaxed);
            if piece == 5 { Err(Error::Tokenizer("no".to_owned())) } else { Ok(()) }
        });
        assert!(matches!(result, Err(Error::Tokenizer(_))), "{result:?}");
        assert!(done.load(Ordering::Relaxed) < 10_000);
    }

    #[test]
    fn an_observer_can_stop_it() {
        struct Impatient(AtomicUsize);
        impl Observer for Impatient {
            fn interrupted(&self) -> bool {
                self.0.fetch_add(1, Ordering::Relaxed) >= 3
            }
        }
        let observer = Impatient(AtomicUsize::new(0));
        let result = run(0..1_000_000, 3, &observer, &|| {}, |_, checkpoint| checkpoint());
        assert!(matches!(result, Err(Error::Interrupted)));
    }

    #[test]
    fn a_panic_in_a_piece_reaches_the_caller_and_frees_the_threads() {
        for _ in 0..20 {
            let result = std::panic::catch_unwind(|| {
                run(0..100, 3, &Nobody, &|| {}, |piece, _| {
                    assert!(piece != 50, "on purpose");
                    Ok(())
                })
            });
            assert!(result.is_err());
        }
        run(0..100, 3, &Nobody, &|| {}, |_, _| Ok(())).unwrap();
    }
}
