//! Conversion of the crate's errors to the classes of `rushlight.exceptions`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;
use rushlight::{Error, ErrorKind};

/// Makes an exception of a class of `rushlight.exceptions`, by name.
pub(crate) fn exception(py: Python<'_>, class: &str, message: String) -> PyErr {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("rushlight.exceptions").map(Bound::unbind));
    match module.and_then(|module| module.bind(py).getattr(class)?.call1((message,))) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// Returns the class of a kind of error.
fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "ModelNotFoundError",
        ErrorKind::ModelFormat => "ModelFormatError",
        ErrorKind::Unsupported => "UnsupportedModelError",
        // The binding itself raises InvalidInputError for inputs that aren't text.
        ErrorKind::Argument | ErrorKind::Input => "InvalidArgumentError",
        ErrorKind::Device => "DeviceError",
        ErrorKind::Download => "DownloadError",
        ErrorKind::Memory => "OutOfMemoryError",
        ErrorKind::Computation => "InferenceError",
    }
}

/// Returns Python's name of an argument.
fn python_name(argument: &'static str) -> &'static str {
    match argument {
        "activation" => "activation_fn",
        "calibration" => "calibration_embeddings",
        "limit" => "n",
        "similarity" => "similarity_fn_name",
        other => other,
    }
}

/// Conversion of results to Python's.
pub(crate) trait IntoPython<T> {
    fn into_python(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> IntoPython<T> for Result<T, Error> {
    fn into_python(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| {
            let class = class(error.kind());
            match error {
                Error::InvalidArgument { argument, problem } => {
                    exception(py, class, format!("{}: {problem}", python_name(argument)))
                }
                error => {
                    let raised = exception(py, class, error.to_string());
                    if let Error::Io { cause, .. } = error {
                        raised.set_cause(py, Some(cause.into()));
                    }
                    raised
                }
            }
        })
    }
}
