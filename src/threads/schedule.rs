//! Parallel loops: each thread takes the next piece until none is left. The first error, or the caller, stops them all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::observer::{Observer, ask};
use crate::threads::executor::{Caller, Executor, Lend, PATIENCE, Progress};

pub(crate) use crate::threads::executor::lock;

/// Runs both, in parallel when a worker is free.
///
/// # Errors
/// The error of `first`, otherwise of `second`.
pub(crate) fn both<A: Send, B>(
    first: impl Fn() -> Result<A> + Sync,
    second: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    let taken = AtomicBool::new(false);
    let done = Mutex::new(None);
    let take = || {
        if !taken.swap(true, Ordering::Relaxed) {
            let first = first();
            *lock(&done) = Some(first);
        }
        Progress::Done
    };
    let second = Executor::get().with_workers(1, Lend::Now, &take, |_, _| {
        let second = second();
        take();
        second
    });
    let first = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((first.ok_or(Error::Forked)??, second?))
}

/// Calls `work(piece, checkpoint)` for every piece, on at most `threads` threads within the process's limit, the caller's
/// included. `work` calls `checkpoint` regularly and returns its error. The caller's thread calls `finished` after each of its
/// own pieces.
///
/// # Errors
/// The first error of any piece; [`Error::Interrupted`] when the observer stops the call.
pub(crate) fn run<T: Send, W>(
    pieces: impl Iterator<Item = T> + Send,
    threads: usize,
    observer: &dyn Observer,
    finished: &dyn Fn(),
    work: W,
) -> Result<()>
where
    W: Fn(T, &dyn Fn() -> Result<()>) -> Result<()> + Sync,
{
    let executor = Executor::get();
    let threads = threads.min(executor.limit()?);
    let pieces = Mutex::new(pieces.peekable());
    let next = || lock(&pieces).next();
    let some_left = || lock(&pieces).peek().is_some();
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let fail = |error| {
        lock(&failure).get_or_insert(error);
        stop.store(true, Ordering::Relaxed);
    };
    let stopped = || if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) };
    let help = || {
        let _guard = StopOnPanic(&stop);
        while stopped().is_ok()
            && let Some(piece) = next()
        {
            if let Err(error) = work(piece, &stopped) {
                fail(error);
            } else if executor.contended() {
                return Progress::More;
            }
        }
        Progress::Done
    };
    executor.with_workers(threads.saturating_sub(1), Lend::Later, &help, |workers, _| {
        let _guard = StopOnPanic(&stop);
        let caller = Caller::new(executor);
        let ask = || ask(observer).and_then(|()| stopped());
        let checkpoint = || caller.lending(ask, &ask);
        let lead = || {
            loop {
                // Asks at least once, even if workers take all pieces.
                checkpoint()?;
                if !some_left() {
                    break Ok(());
                }
                caller.next_turn(&ask)?;
                // Takes a piece only with a permit, so that no piece waits while another thread could compute it.
                let Some(piece) = next() else { break Ok(()) };
                work(piece, &checkpoint)?;
                let tell = || {
                    finished();
                    Ok(())
                };
                caller.lending(tell, &ask)?;
            }
        };
        lead().unwrap_or_else(fail);
        caller.give_back();
        workers.dismiss();
        while workers.working(PATIENCE) {
            ask().unwrap_or_else(fail);
        }
        workers.check().unwrap_or_else(fail);
    });
    lock(&failure).take().map_or(Ok(()), Err)
}

/// Stops the other threads when one panics. The panic then goes on in the caller.
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
    use crate::observer::NoObserver;

    #[test]
    fn every_piece_is_done_once() {
        for pieces in [0, 1, 2, 100] {
            let done: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            run(0..pieces, 3, &NoObserver, &|| {}, |piece, _| {
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
        let result = run(0..10_000, 3, &NoObserver, &|| {}, |piece, _| {
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

    /// Python's signal handlers, which run when the observer is asked, may embed.
    #[test]
    fn an_observer_may_compute_itself_wherever_it_is_asked() {
        struct Nesting {
            depth: AtomicUsize,
            computed: AtomicUsize,
        }
        impl Observer for Nesting {
            fn progress(&self, _: usize, _: usize) {
                self.interrupted();
            }
            fn interrupted(&self) -> bool {
                if self.depth.fetch_add(1, Ordering::SeqCst) < 2 {
                    run(0..3, 2, self, &|| self.progress(0, 0), |_, checkpoint| checkpoint()).unwrap();
                    self.computed.fetch_add(1, Ordering::SeqCst);
                }
                self.depth.fetch_sub(1, Ordering::SeqCst);
                false
            }
        }
        // More callers than the limit of threads.
        let callers = crate::process::num_threads().unwrap() + 1;
        std::thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| {
                    let observer = Nesting { depth: AtomicUsize::new(0), computed: AtomicUsize::new(0) };
                    run(0..5, 2, &observer, &|| observer.progress(0, 0), |_, checkpoint| checkpoint()).unwrap();
                    // If workers take all pieces, the observer is asked before the first one.
                    assert!(observer.computed.load(Ordering::SeqCst) > 0);
                });
            }
        });
    }

    #[test]
    fn a_panic_in_a_piece_reaches_the_caller_and_frees_the_threads() {
        for _ in 0..20 {
            let result = std::panic::catch_unwind(|| {
                run(0..100, 3, &NoObserver, &|| {}, |piece, _| {
                    assert!(piece != 50, "on purpose");
                    Ok(())
                })
            });
            assert!(result.is_err());
        }
        run(0..100, 3, &NoObserver, &|| {}, |_, _| Ok(())).unwrap();
    }
}
