//! Threads and locks of the executor. `tests/interleavings` replaces them by a model checker's.

pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
pub(crate) use std::thread::{self, Thread};
