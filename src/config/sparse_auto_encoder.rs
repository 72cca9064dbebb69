//! `config.json` of a SparseAutoEncoder module.

use std::path::Path;

use super::JsonFile;
use crate::error::Result;

/// Settings of a SparseAutoEncoder module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SparseAutoEncoderConfig {
    /// Number of columns of a code.
    pub(crate) width: usize,
    /// Number of the largest weights to keep.
    pub(crate) k: usize,
    /// True if the input is standardized: each row gets a mean of 0 and a standard deviation of 1.
    pub(crate) normalize: bool,
}

impl SparseAutoEncoderConfig {
    /// Reads `config.json` in the module's folder; `width` is the width of the module's input.
    pub(crate) fn read(folder: &Path, width: usize) -> Result<Self> {
        let file = JsonFile::read(folder.join("config.json"), "a SparseAutoEncoder module needs it")?;
        file.knows(&["input_dim", "hidden_dim", "k", "k_aux", "normalize", "dead_threshold"])?;
        let inputs: usize = file.required("input_dim")?;
        if inputs != width {
            let problem = format!("must equal the width of the module's input ({width}), got {inputs}");
            return Err(file.error("input_dim", problem));
        }
        Ok(Self {
            width: file.size("hidden_dim", 512)?,
            k: file.size("k", 8)?,
            normalize: file.get("normalize", false)?,
        })
    }
}
