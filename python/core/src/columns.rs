//! Columns of tables as texts, read where Arrow has them.

use numpy::{PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::errors::{IntoPython, exception};
use crate::inputs::{Text, reserve};

/// Chunk of a column of strings: the offsets of the strings and of the end, and the bytes of all strings.
pub(crate) type Chunk<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u8>);

/// Returns the strings of a column. The error names the first invalid one by argument and index; `first` is the index of
/// the column's first string.
pub(crate) fn strings<'a>(argument: &str, first: usize, chunks: &'a [Chunk<'_>]) -> PyResult<Vec<Text<'a>>> {
    let mut texts = Vec::new();
    for (offsets, bytes) in chunks {
        let py = offsets.py();
        reserve(&mut texts, offsets.len()).into_python(py)?;
        let bytes = bytes.as_slice()?;
        for bounds in offsets.as_slice()?.windows(2) {
            let text = string(bytes, bounds[0], bounds[1]).ok_or_else(|| {
                let message = format!("{argument}[{}]: must be a string of valid UTF-8", first + texts.len());
                exception(py, "InvalidInputError", message)
            })?;
            texts.push(Text::Row(text));
        }
    }
    Ok(texts)
}

fn string(bytes: &[u8], start: i64, end: i64) -> Option<&str> {
    let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
    str::from_utf8(bytes.get(range)?).ok()
}
