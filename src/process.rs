//! What is the whole process's: the choice of kernels, and how many threads compute.

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::threads::executor::{Executor, MAX_THREADS};

/// The instruction set of the kernels: the best that the machine has, or the one that `RUSHLIGHT_CPU` names.
///
/// # Errors
/// [`Error::InvalidArgument`] where `RUSHLIGHT_CPU` names one that this machine lacks.
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

/// Names of the instruction sets that this machine has, the plainest first.
pub fn instruction_sets() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

/// The name of the instruction set that the kernels use.
///
/// # Errors
/// [`Error::InvalidArgument`] where `RUSHLIGHT_CPU` names one that this machine lacks.
pub fn instruction_set() -> Result<&'static str> {
    isa().map(Isa::name)
}

/// How many threads may compute at once, of all models together.
///
/// # Errors
/// [`Error::InvalidArgument`] where `RUSHLIGHT_NUM_THREADS` is not a whole number from 1 to 4,096.
pub fn num_threads() -> Result<usize> {
    Executor::get().limit()
}

/// Sets how many threads may compute at once, of all models together; more than there are cores is allowed.
///
/// Calls that are computing keep the threads they have.
///
/// # Errors
/// [`Error::InvalidArgument`] for 0, or more than 4,096.
pub fn set_num_threads(limit: usize) -> Result<()> {
    if !(1..=MAX_THREADS).contains(&limit) {
        return Err(Error::argument("n", format!("must be from 1 to {MAX_THREADS}, got {limit}")));
    }
    Executor::get().set_limit(limit);
    Ok(())
}
