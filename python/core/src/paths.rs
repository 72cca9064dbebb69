//! Paths in Python's encoding.

#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pyo3::prelude::*;
#[cfg(unix)]
use pyo3::types::PyBytes;

/// Folder, which becomes a `pathlib.Path`.
///
/// Its name is decoded by the file system's encoding, as Python encodes it. `PathBuf`'s own conversion assumes UTF-8 in
/// any locale.
pub(crate) struct Folder(pub(crate) PathBuf);

impl<'py> IntoPyObject<'py> for Folder {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        #[cfg(unix)]
        let name = py.import("os")?.call_method1("fsdecode", (PyBytes::new(py, self.0.as_os_str().as_bytes()),))?;
        #[cfg(not(unix))]
        let name = self.0.into_os_string();
        py.import("pathlib")?.call_method1("Path", (name,))
    }
}
