//! The model checker shuttle.

pub use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
pub use shuttle::{check_pct, check_random, thread};
