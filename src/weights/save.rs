//! Writing of weights.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{AdapterTensors, Array, Weights};
use crate::error::{Error, Result};

impl Weights {
    /// Writes the tensors that `keep` selects into a safetensors file: those that an adapter of peft changes in float32, the
    /// others unchanged.
    pub(crate) fn save(&self, path: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
        // transformers requires this entry before it reads a file.
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let merged = self.merged()?;
        let names: HashSet<_> = merged.iter().map(|(name, _)| name).collect();
        let stored = self.entries.iter().filter(|(name, _)| !names.contains(name));
        let stored = stored.map(|(name, entry)| (name, entry.dtype, &entry.shape, entry.data.as_slice()));
        let merged = merged
            .iter()
            .map(|(name, array)| (name, Dtype::F32, &array.shape, bytemuck::cast_slice::<f32, u8>(array.as_slice())));
        let failed = |error| match error {
            safetensors::SafeTensorError::IoError(error) => Error::io(path, error),
            other => Error::weights(path, other.to_string()),
        };
        let view = |(name, dtype, shape, data): (_, _, &Vec<usize>, _)| {
            Ok((name, TensorView::new(dtype, shape.clone(), data)?))
        };
        let kept = stored.chain(merged).filter(|(name, ..)| keep(name));
        let views: std::result::Result<Vec<_>, _> = kept.map(view).collect();
        views.and_then(|views| safetensors::serialize_to_file(views, Some(format), path)).map_err(failed)
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

/// Returns today's name of a tensor of an old checkpoint.
fn new_name(name: &str) -> String {
    name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
}
