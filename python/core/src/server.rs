//! HTTP server: the command `rushlight serve`, and servers in a thread.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;
use rushlight::server::cli;

use crate::errors::{IntoPython, exception};

/// Parsed words of the command `rushlight serve`.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct ServeCommand {
    command: cli::ServeCommand,
}

#[pymethods]
impl ServeCommand {
    /// Parses words and, for the command line, the environment. A usage error or a request for help on the command line
    /// returns its text and the exit status instead.
    #[staticmethod]
    fn parse(py: Python<'_>, words: Vec<OsString>) -> PyResult<Py<PyAny>> {
        match cli::ServeCommand::parse_words(words) {
            Ok(command) => Ok(Py::new(py, Self { command })?.into_any()),
            Err(error) => Ok((error.to_string(), error.exit_code()).into_pyobject(py)?.into_any().unbind()),
        }
    }

    /// Parses words without the environment.
    #[new]
    fn new(py: Python<'_>, words: Vec<OsString>) -> PyResult<Self> {
        let error = |error: cli::UsageError| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            exception(py, "InvalidArgumentError", line.trim_start_matches("error: ").to_owned())
        };
        cli::ServeCommand::parse_words_alone(words).map(|command| Self { command }).map_err(error)
    }

    /// Names or folders of the models, to find them.
    #[getter]
    fn models(&self) -> Vec<&str> {
        self.command.models().into_iter().map(|(_, model)| model).collect()
    }

    /// Source of the models: revision, cache folder, and if the network is forbidden.
    #[getter]
    fn source(&self) -> (Option<String>, Option<PathBuf>, bool) {
        let options = self.command.load_options();
        (options.revision, options.cache_folder, options.local_files_only)
    }

    /// Serves the models in these folders until a signal ends it.
    fn run(&self, py: Python<'_>, folders: Vec<PathBuf>) -> PyResult<()> {
        self.command.log();
        py.detach(|| self.command.run(folders)).into_python(py)
    }

    /// Serves the models in these folders on a thread of its own.
    fn start(&self, py: Python<'_>, folders: Vec<PathBuf>) -> PyResult<Server> {
        let start = || rushlight::server::Server::start(self.command.load(folders)?, self.command.options()?);
        Ok(Server { server: py.detach(start).into_python(py)? })
    }
}

/// Running server.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct Server {
    server: rushlight::server::Server,
}

#[pymethods]
impl Server {
    /// URL to put before routes.
    #[getter]
    fn url(&self) -> &str {
        self.server.url()
    }

    /// Stops, and waits until running requests have ended.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.server.stop());
    }
}
