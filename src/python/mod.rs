//! The extension module `rushlight._core`. It translates, and does nothing else.

mod arrays;
mod errors;
mod inputs;
mod model;
mod observer;

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::process;
use crate::source::{self, CacheLocation};
use errors::IntoPython;

/// The extension module behind the package `rushlight`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::arrays::{quantize, similarity, similarity_pairwise};
    #[pymodule_export]
    use super::model::Model;
    #[pymodule_export]
    use super::{find_model, get_num_threads, info, set_num_threads};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// The folder that a name means; `looked` is where the caller has looked before.
#[pyfunction]
fn find_model(
    py: Python<'_>,
    name: PathBuf,
    cache_folder: Option<PathBuf>,
    revision: Option<&str>,
    looked: Vec<String>,
) -> PyResult<PathBuf> {
    let cache = CacheLocation::choose(cache_folder.as_deref());
    source::find(&name, &cache, revision.unwrap_or("main"), looked).into_python(py)
}

/// How many threads compute at once, of all models together.
///
/// The default is `RUSHLIGHT_NUM_THREADS`, else the cores that this process may run on, by affinity and cgroup.
#[pyfunction]
fn get_num_threads(py: Python<'_>) -> PyResult<usize> {
    process::num_threads().into_python(py)
}

/// Sets how many threads compute at once, of all models together: at least 1; more than there are cores is allowed.
#[pyfunction]
fn set_num_threads(py: Python<'_>, n: usize) -> PyResult<()> {
    process::set_num_threads(n).into_python(py)
}

/// What this build has, and what it uses on this machine: a dict of `version`, `features`, `instruction_set` (the one in
/// use), `instruction_sets` (all that the machine has), `devices`, `num_threads` and `cache_folder`.
#[pyfunction]
fn info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("features", ["python"])?;
    info.set_item("instruction_set", process::instruction_set().into_python(py)?)?;
    info.set_item("instruction_sets", process::instruction_sets())?;
    info.set_item("devices", ["cpu"])?;
    info.set_item("num_threads", get_num_threads(py)?)?;
    info.set_item("cache_folder", CacheLocation::choose(None).folder)?;
    Ok(info)
}
