//! Settings of the whole process: the kernels' instruction set, and the limit of threads.

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::threads::executor::{Executor, MAX_THREADS};

/// Returns the instruction set of the kernels: the one that `RUSHLIGHT_CPU` names, or the machine's best.
///
/// # Errors
/// [`Error::InvalidArgument`] when `RUSHLIGHT_CPU` names an instruction set that this machine lacks.
pub(crate) fn isa() -> Result<Isa> {
    static CHOICE: OnceLock<std::result::Result<Isa, String>> = OnceLock::new();
    let choose = || {
        let sets = Isa::available();
        let names = || sets.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        match std::env::var("RUSHLIGHT_CPU") {
            Ok(name) if !name.is_empty() => {
                let chosen = sets.iter().find(|isa| isa.name() == name).copied();
                chosen.ok_or_else(|| format!("must be one of {} on this machine, got {name:?}", names()))
            }
            _ => sets.last().copied().ok_or_else(String::new),
        }
    };
    CHOICE.get_or_init(choose).clone().map_err(|problem| Error::argument("RUSHLIGHT_CPU", problem))
}

/// Returns the names of this machine's instruction sets, scalar first, best last.
pub fn instruction_sets() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

/// Returns the name of the instruction set that the kernels use.
///
/// # Errors
/// [`Error::InvalidArgument`] when `RUSHLIGHT_CPU` names an instruction set that this machine lacks.
pub fn instruction_set() -> Result<&'static str> {
    isa().map(Isa::name)
}

/// Returns the limit of threads that compute at once, for all models together.
///
/// # Errors
/// [`Error::InvalidArgument`] when `RUSHLIGHT_NUM_THREADS` is not a whole number from 1 to 4,096.
pub fn num_threads() -> Result<usize> {
    Executor::get().limit()
}

/// Sets the limit of threads that compute at once, for all models together. It may exceed the number of cores.
///
/// Running calls keep their threads.
///
/// # Errors
/// [`Error::InvalidArgument`] for 0, or more than 4,096.
pub fn set_num_threads(limit: usize) -> Result<()> {
    if !(1..=MAX_THREADS).contains(&limit) {
        return Err(Error::argument("limit", format!("must be from 1 to {MAX_THREADS}, got {limit}")));
    }
    Executor::get().set_limit(limit);
    Ok(())
}
