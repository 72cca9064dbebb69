//! Computing from Python: every call releases the interpreter, checks for signals, and turns panics into errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rushlight::{Error, LoadOptions, Observer, Result};

use crate::errors::{IntoPython, exception};

/// Minimum time between two checks for signals.
const PERIOD: Duration = Duration::from_millis(50);

/// Python callables that watch a call.
#[derive(Default)]
pub(crate) struct Watchers {
    /// Called with the progress: the done and the total number.
    pub(crate) progress: Option<Py<PyAny>>,
    /// Called regularly; an exception stops the call.
    pub(crate) poll: Option<Py<PyAny>>,
}

/// Observer that checks for Ctrl-C and calls Python's watchers.
struct PythonObserver {
    watchers: Watchers,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    /// Exception that Python raised during the call.
    raised: Option<PyErr>,
    /// True if the interpreter has ended.
    over: bool,
}

impl PythonObserver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls into Python, and keeps the exception. If the interpreter is ending, which a daemon thread can see, the
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

/// Guard that parks a daemon thread forever if the interpreter ends while the thread runs Python code. Before Python
/// 3.14 the interpreter unwinds such a thread, which must not reach our frames. From 3.14 on Python itself parks it.
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

/// Computes without holding the interpreter. An exception that Python raises meanwhile, such as Ctrl-C, replaces the
/// result. A panic becomes an `InferenceError`.
pub(crate) fn compute<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&dyn Observer) -> Result<T> + Send,
) -> PyResult<T> {
    compute_watched(py, Watchers { progress, poll: None }, work)
}

/// Computes like [`compute`], with any watchers.
pub(crate) fn compute_watched<T: Send>(
    py: Python<'_>,
    watchers: Watchers,
    work: impl FnOnce(&dyn Observer) -> Result<T> + Send,
) -> PyResult<T> {
    run(py, watchers, |observer| work(&**observer))
}

/// Loads like [`compute`], with these options and an observer.
pub(crate) fn load<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    options: LoadOptions,
    work: impl FnOnce(&LoadOptions) -> Result<T> + Send,
) -> PyResult<T> {
    let watchers = Watchers { progress, poll: None };
    run(py, watchers, |observer| work(&options.with_observer(Arc::clone(observer))))
}

fn run<T: Send>(
    py: Python<'_>,
    watchers: Watchers,
    work: impl FnOnce(&Arc<PythonObserver>) -> Result<T> + Send,
) -> PyResult<T> {
    let state = Mutex::new(State { looked: Instant::now(), raised: None, over: false });
    let observer = Arc::new(PythonObserver { watchers, state });
    let result = py.detach(|| catch_unwind(AssertUnwindSafe(|| work(&observer))));
    if let Some(raised) = observer.state().raised.take() {
        return Err(raised);
    }
    match result {
        Ok(Err(Error::Interrupted)) => Err(pyo3::exceptions::PyKeyboardInterrupt::new_err(())),
        Ok(result) => result.into_python(py),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(exception(py, "InferenceError", format!("this is a bug in rushlight, please report it: {message}")))
        }
    }
}
