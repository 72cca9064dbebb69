//! Helpers of the benches: instruction sets, and the CPU's limits with them.

pub(crate) mod isa;
pub(crate) mod limits;
