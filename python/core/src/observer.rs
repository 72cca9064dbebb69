//! The one door to computing: it lets go of the interpreter, looks for signals, and stops panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::errors::{IntoPython, exception};
use rushlight::Observer;
use rushlight::{Error, Result};

/// How often signals are looked for.
const PERIOD: Duration = Duration::from_millis(50);

/// Python callables that watch a call.
#[derive(Default)]
pub(crate) struct Watchers {
    /// Told of progress: what is done, and of how much.
    pub(crate) progress: Option<Py<PyAny>>,
    /// Asked now and then; what it raises stops the call.
    pub(crate) poll: Option<Py<PyAny>>,
}

/// Looks for Ctrl-C, and passes on what Python's watchers are told and say.
struct PythonObserver {
    watchers: Watchers,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    /// What Python raised meanwhile.
    raised: Option<PyErr>,
    /// There is no Python any more.
    over: bool,
}

impl PythonObserver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls into Python, and keeps what it raises. Where the interpreter is about to end, as a daemon thread may meet it, the
    /// call stops instead.
    fn call(&self, work: impl FnOnce(Python<'_>) -> PyResult<()>) {
        let attached = |py: Python<'_>| {
            let guard = HangThread;
            let result = work(py);
            std::mem::forget(guard);
            result
        };
        match Python::try_attach(attached) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.state().raised.get_or_insert(error);
            }
            None => self.state().over = true,
        }
    }
}

/// Stops a daemon thread for ever that runs Python code when the interpreter ends. Before Python 3.14 such a thread is ended by
/// an unwinding that must not reach our frames; from 3.14 on Python stops it just so.
struct HangThread;

impl Drop for HangThread {
    fn drop(&mut self) {
        while !std::thread::panicking() {
            std::thread::park();
        }
    }
}

impl Observer for PythonObserver {
    fn progress(&self, done: usize, total: usize) {
        if let Some(progress) = &self.watchers.progress {
            self.call(|py| progress.call1(py, (done, total)).map(|_| ()));
        }
    }

    fn interrupted(&self) -> bool {
        let due = self.state().looked.elapsed() >= PERIOD;
        if due {
            self.call(|py| {
                py.check_signals()?;
                self.watchers.poll.as_ref().map_or(Ok(()), |poll| poll.call0(py).map(|_| ()))
            });
            self.state().looked = Instant::now();
        }
        let state = self.state();
        state.over || state.raised.is_some()
    }
}

/// Computes without holding the interpreter. What Python raised meanwhile, Ctrl-C above all, wins over the result; a
/// panic becomes an error.
pub(crate) fn compute<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&dyn Observer) -> Result<T> + Send,
) -> PyResult<T> {
    compute_watched(py, Watchers { progress, poll: None }, work)
}

/// [`compute`], watched by more than a progress bar.
pub(crate) fn compute_watched<T: Send>(
    py: Python<'_>,
    watchers: Watchers,
    work: impl FnOnce(&dyn Observer) -> Result<T> + Send,
) -> PyResult<T> {
    let state = Mutex::new(State { looked: Instant::now(), raised: None, over: false });
    let observer = PythonObserver { watchers, state };
    let result = py.detach(|| catch_unwind(AssertUnwindSafe(|| work(&observer))));
    if let Some(raised) = observer.state().raised.take() {
        return Err(raised);
    }
    match result {
        Ok(Err(Error::Interrupted)) => Err(pyo3::exceptions::PyKeyboardInterrupt::new_err(())),
        Ok(result) => result.into_python(py),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(exception(py, "InferenceError", format!("this is a bug in rushlight, please report it: {said}")))
        }
    }
}
