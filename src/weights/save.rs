//! Writing of weights.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};

use super::{AdapterTensors, Array, Weights};
use crate::alloc;
use crate::error::{Error, Result};

impl Weights {
    /// Writes the tensors that `keep` selects into a safetensors file: those that an adapter of peft changes in float32, the
    /// others unchanged.
    pub(crate) fn save(&self, path: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
        let merged = self.merged()?;
        let names: HashSet<_> = merged.iter().map(|(name, _)| name).collect();
        let stored = self.entries.iter().filter(|(name, _)| !names.contains(name));
        let stored = stored.map(|(name, entry)| (name.as_str(), entry.dtype, &entry.shape, entry.data.as_slice()));
        let merged = merged.iter().map(|(name, array)| {
            (name.as_str(), Dtype::F32, &array.shape, bytemuck::cast_slice::<f32, u8>(array.as_slice()))
        });
        let view = |(name, dtype, shape, data): (_, _, &Vec<usize>, _)| {
            Ok((name, TensorView::new(dtype, shape.clone(), data)?))
        };
        let kept = stored.chain(merged).filter(|(name, ..)| keep(name));
        let views: std::result::Result<Vec<_>, _> = kept.map(view).collect();
        write(path, views)
    }

    /// Writes one array into a safetensors file.
    pub(crate) fn save_array(path: &Path, name: &str, array: &Array) -> Result<()> {
        let bytes = bytemuck::cast_slice(array.as_slice());
        write(path, TensorView::new(Dtype::F32, array.shape.clone(), bytes).map(|tensor| vec![(name, tensor)]))
    }

    /// Returns the tensors that an adapter of peft changes or adds.
    fn merged(&self) -> Result<Vec<(String, Array)>> {
        let Some(AdapterTensors::Peft(adapter)) = &self.adapter else { return Ok(Vec::new()) };
        let names: Vec<_> = self.entries.keys().map(|name| new_name(name)).collect();
        let stored = self.entries.iter().zip(&names).filter(|(_, name)| adapter.changes(name));
        let changed = stored.map(|((stored, entry), name)| Ok((stored.clone(), self.array(name, &entry.shape)?)));
        let added = adapter.added(&names);
        let added = added.into_iter().map(|(name, shape)| Ok((name.to_owned(), self.array(name, shape)?)));
        changed.chain(added).collect()
    }
}

/// Writes a safetensors file.
fn write(path: &Path, tensors: std::result::Result<Vec<(&str, TensorView<'_>)>, SafeTensorError>) -> Result<()> {
    /// Memory of the writer, which aborts without it: a buffer of a megabyte, and the header.
    const NEEDED: usize = 2 << 20;
    alloc::check::<u8>(NEEDED, &path.display().to_string())?;
    // transformers requires this entry before it reads a file.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let written = tensors.and_then(|tensors| safetensors::serialize_to_file(tensors, Some(format), path));
    written.map_err(|error| match error {
        SafeTensorError::IoError(error) => Error::io(path, error),
        other => Error::weights(path, other.to_string()),
    })
}

/// Returns today's name of a tensor of an old checkpoint.
fn new_name(name: &str) -> String {
    name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
}
