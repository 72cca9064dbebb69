//! Watching a call that computes, and stopping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use scoped_tls_hkt::scoped_thread_local;

use crate::error::{Error, Result};

/// Step of a call that computes, of which an [`Observer`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The first inputs are tokenized. The call waits for a free thread.
    Tokenized,
    /// Computing began at this time.
    Began(Instant),
    /// A micro-batch is computed. It may have texts of other calls.
    Computed {
        /// Number of its texts.
        texts: usize,
        /// Number of its tokens.
        tokens: usize,
    },
    /// All inputs are computed.
    Finished {
        /// Number of the inputs' tokens after truncation, special tokens included.
        tokens: usize,
    },
}

/// Watches a call that computes, and may stop it. All methods are called on the caller's own thread.
///
/// An [`AtomicBool`] stops the call when it becomes true. A closure `Fn(usize, usize)` gets the progress. A pair
/// combines two observers.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use rushlight::Observer;
///
/// let stop = Arc::new(AtomicBool::new(false));
/// let watched = (Arc::clone(&stop), |done: usize, total: usize| println!("{done} of {total}"));
/// watched.progress(1, 2);
/// assert!(!watched.interrupted());
///
/// // From another thread, or a signal handler.
/// stop.store(true, Ordering::Relaxed);
/// assert!(watched.interrupted());
/// ```
pub trait Observer: Sync {
    /// Tells that `done` of `total` inputs are computed.
    fn progress(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// Tells that the call has taken a step.
    fn step(&self, step: Step) {
        let _ = step;
    }

    /// Returns true when the call shall stop, with [`Error::Interrupted`]. Asked several times a second.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Stops the call when it becomes true.
impl Observer for AtomicBool {
    fn interrupted(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}

/// Reports the progress to a closure.
impl<F: Fn(usize, usize) + Sync> Observer for F {
    fn progress(&self, done: usize, total: usize) {
        self(done, total);
    }
}

impl<T: Observer + Send + ?Sized> Observer for Arc<T> {
    fn progress(&self, done: usize, total: usize) {
        (**self).progress(done, total);
    }

    fn step(&self, step: Step) {
        (**self).step(step);
    }

    fn interrupted(&self) -> bool {
        (**self).interrupted()
    }
}

/// Reports the progress to both observers. Either of them can stop the call.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn progress(&self, done: usize, total: usize) {
        self.0.progress(done, total);
        self.1.progress(done, total);
    }

    fn step(&self, step: Step) {
        self.0.step(step);
        self.1.step(step);
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted() || self.1.interrupted()
    }
}

/// Watches nothing and never stops a call.
pub(crate) struct NoObserver;

impl Observer for NoObserver {}

/// Asks an observer.
///
/// # Errors
/// [`Error::Interrupted`] when the call shall stop.
pub(crate) fn ask(observer: &dyn Observer) -> Result<()> {
    if observer.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
}

scoped_thread_local! {
    /// Observer of the load on this thread. Families load their weights without knowing of it.
    static OF_LOAD: for<'a> &'a dyn Observer
}

/// Runs `load`, in which [`ask_while_loading`] asks the observer. Without one, it asks none: not that of a call which
/// the load belongs to.
pub(crate) fn while_loading<T>(observer: Option<&dyn Observer>, load: impl FnOnce() -> T) -> T {
    OF_LOAD.set(observer.unwrap_or(&NoObserver), load)
}

/// Asks the observer of the load on this thread. Does nothing on threads that help with the load.
///
/// # Errors
/// [`Error::Interrupted`] when the load shall stop.
pub(crate) fn ask_while_loading() -> Result<()> {
    if OF_LOAD.is_set() { OF_LOAD.with(ask) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_pair_reports_to_both_and_stops_when_either_does() {
        let told = Mutex::new(Vec::new());
        let stop = Arc::new(AtomicBool::new(false));
        let pair = (|done: usize, total: usize| told.lock().unwrap().push((done, total)), Arc::clone(&stop));
        pair.progress(1, 3);
        assert_eq!(*told.lock().unwrap(), [(1, 3)]);
        assert!(ask(&pair).is_ok());
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(ask(&pair), Err(Error::Interrupted)));
        assert!(matches!(ask(&(pair.1, NoObserver)), Err(Error::Interrupted)));
    }
}
