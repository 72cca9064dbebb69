//! Weights that torch computes of other tensors when they are read: an original, and an adapter's product of low rank.

use super::{AdapterTensors, Array, Weights};
use crate::error::Result;

impl Weights {
    /// Returns the tensor of that name from its original and the adapter, if it is stored so.
    pub(super) fn parametrized(&self, name: &str, shape: &[usize]) -> Result<Option<Array>> {
        let Some(owner) = name.strip_suffix(".weight") else { return Ok(None) };
        let part = |part: &str| format!("{owner}.parametrizations.weight.{part}");
        if !self.entries.contains_key(&part("original")) {
            return Ok(None);
        }
        let original = self.stored(&part("original"), shape)?;
        let (Some(AdapterTensors::Stacked(adapter)), &[rows, columns]) = (&self.adapter, shape) else {
            return Ok(Some(original));
        };
        let (left, right) = ([adapter.count, rows, adapter.rank], [adapter.count, adapter.rank, columns]);
        // A linear layer multiplies B by A, an embedding A by B.
        let (a, b) = (part("0.lora_A"), part("0.lora_B"));
        let embedding = self.entries.get(&a).is_some_and(|entry| entry.shape == left);
        let [first, second] = if embedding { [&a, &b] } else { [&b, &a] };
        let of_task =
            |name: &str, shape: &[usize]| -> Result<Array> { Ok(self.stored(name, shape)?.item(adapter.index)) };
        let merged = merged(&original, &of_task(first, &left)?, &of_task(second, &right)?, adapter.scale);
        original.forget_pages();
        Ok(Some(merged))
    }
}

/// Computes `original + scale * left · right`.
pub(super) fn merged(original: &Array, left: &Array, right: &Array, scale: f32) -> Array {
    let (rank, columns) = (right.shape[0], right.shape[1]);
    let mut merged = original.as_slice().to_vec();
    let mut sum = vec![0.0; columns];
    for (row, factors) in merged.chunks_exact_mut(columns).zip(left.as_slice().chunks_exact(rank)) {
        sum.fill(0.0);
        for (factor, right) in factors.iter().zip(right.as_slice().chunks_exact(columns)) {
            sum.iter_mut().zip(right).for_each(|(sum, right)| *sum += factor * right);
        }
        row.iter_mut().zip(&sum).for_each(|(x, sum)| *x += scale * sum);
    }
    Array::new(original.shape.clone(), merged)
}
