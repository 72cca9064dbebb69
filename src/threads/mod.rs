//! Threads of the process: the workers of all calls, and how work is spread over them.

pub(crate) mod executor;
pub(crate) mod schedule;
pub(crate) mod team;
