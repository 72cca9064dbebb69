//! Extension module `rushlight._core`, which only converts between Python and the crate.

mod arrays;
mod columns;
mod errors;
mod hybrid;
mod inputs;
mod model;
mod multi_vector;
mod observer;
mod paths;
mod prompts;
mod reranker;
#[cfg(feature = "server")]
mod server;
mod shared;
mod sparse;
mod tokenizer;
mod util;

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rushlight::{Device, LoadOptions, process, source};

use errors::IntoPython;
use inputs::Token;
use observer::load;
use paths::Folder;

/// Extension module behind the package `rushlight`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::arrays::{quantize, similarity, similarity_pairwise};
    #[pymodule_export]
    use crate::hybrid::{hybrid_similarity, hybrid_similarity_pairwise};
    #[pymodule_export]
    use crate::model::{Model, Stream};
    #[pymodule_export]
    use crate::multi_vector::{MultiVectorModel, maxsim, maxsim_pairwise};
    #[pymodule_export]
    use crate::prompts::{choose_prompt, prompt_name_of, prompt_names};
    #[pymodule_export]
    use crate::reranker::Reranker;
    #[pymodule_export]
    use crate::reranker::{ranked, softmax};
    #[cfg(feature = "server")]
    #[pymodule_export]
    use crate::server::{ServeCommand, Server};
    #[pymodule_export]
    use crate::sparse::{SparseModel, sparse_similarity};
    #[pymodule_export]
    use crate::tokenizer::Tokenizer;
    #[pymodule_export]
    use crate::util::{community_detection, normalize_embeddings, paraphrase_mining, semantic_search};
    #[pymodule_export]
    use crate::{device_name, find_model, get_num_threads, info, set_num_threads};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // The first use of numpy runs Python code, in which Ctrl-C would panic. Do it at import, before any long call.
        numpy::dtype::<f32>(module.py());
        module.add("ACTIVATIONS", rushlight::ScoreActivation::names().collect::<Vec<_>>())?;
        module.add("INSTRUCTORS", rushlight::INSTRUCTORS)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Options of the search for a model. `looked` lists the locations that the caller has searched.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct ModelSearch {
    /// Organization of names without a `/`.
    organization: String,
    cache_folder: Option<PathBuf>,
    revision: Option<String>,
    local_files_only: bool,
    token: Option<Token>,
    looked: Vec<String>,
}

/// Finds the folder of a model by name, and downloads it if the cache lacks it. `progress` gets numbers of bytes.
#[pyfunction]
fn find_model(py: Python<'_>, name: PathBuf, search: ModelSearch, progress: Option<Py<PyAny>>) -> PyResult<Folder> {
    let token = Token::typed(search.token);
    let mut options = LoadOptions::default().with_local_files_only(search.local_files_only).with_token(token);
    options.cache_folder = search.cache_folder;
    options.revision = search.revision;
    load(py, progress, options, |options| source::find(&name, &search.organization, options, search.looked)).map(Folder)
}

/// Returns the number of threads that compute at once, for all models together.
///
/// The default is `RUSHLIGHT_NUM_THREADS`, else the number of cores that affinity and cgroup allow this process.
#[pyfunction]
fn get_num_threads(py: Python<'_>) -> PyResult<usize> {
    process::num_threads().into_python(py)
}

/// Sets the number of threads that compute at once, for all models together. It must be at least 1, and may exceed the
/// number of cores.
#[pyfunction]
fn set_num_threads(py: Python<'_>, n: usize) -> PyResult<()> {
    process::set_num_threads(n).into_python(py)
}

/// Returns a device's canonical name: `cuda` is `cuda:0`.
#[pyfunction]
fn device_name(py: Python<'_>, device: &str) -> PyResult<String> {
    Ok(device.parse::<Device>().into_python(py)?.to_string())
}

/// Describes this build and machine in a dict: `version`, `features`, `instruction_set` (in use), `instruction_sets`
/// (all that the machine has), `devices`, `num_threads` and `cache_folder`.
#[pyfunction]
fn info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    let features = [
        ("hub", cfg!(feature = "hub")),
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("accelerate", cfg!(feature = "accelerate")),
        ("server", cfg!(feature = "server")),
        ("python", true),
    ];
    info.set_item(
        "features",
        features.map(|(name, there)| there.then_some(name)).into_iter().flatten().collect::<Vec<_>>(),
    )?;
    info.set_item("instruction_set", process::instruction_set().into_python(py)?)?;
    info.set_item("instruction_sets", process::instruction_sets())?;
    let devices = Device::available().iter().map(ToString::to_string).collect::<Vec<_>>();
    info.set_item("devices", devices)?;
    info.set_item("num_threads", get_num_threads(py)?)?;
    info.set_item("cache_folder", source::cache_folder())?;
    Ok(info)
}
