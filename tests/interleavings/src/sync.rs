//! The model checker's threads and locks, in place of `src/threads/sync.rs`.

pub use std::sync::PoisonError;

pub use shuttle::sync::atomic::AtomicBool;
pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
pub use shuttle::thread::{self, Thread};
