//! What the benches share: an instruction set, and what the processor can do at most with it.

pub(crate) mod isa;
pub(crate) mod limits;
