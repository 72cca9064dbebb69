//! The system's threads in place of the model checker: Miri and ThreadSanitizer watch them.

pub use std::sync::atomic::{AtomicBool, AtomicUsize};
pub use std::thread;

/// Runs a program again and again. Miri is slow, and takes the seeds of its interleavings from outside.
pub fn check_random(program: impl Fn(), runs: usize) {
    (0..if cfg!(miri) { 1 } else { runs / 100 }).for_each(|_| program());
}

/// Does nothing: the system's scheduler can't be asked for few switches.
pub fn check_pct(_: impl Fn(), _: usize, _: usize) {}
