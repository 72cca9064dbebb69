//! Threads of the process: the executor, parallel loops over it, and intra-op parallelism.

pub(crate) mod executor;
pub(crate) mod intra_op;
pub(crate) mod place;
pub(crate) mod schedule;
mod sync;
