//! Contrastive sparse representation (Wen et al., 2025): a sparse code of a sentence embedding.

use super::sentence::Sentence;
use super::{Files, Head, HeadRequest, Output, Selected};
use crate::batch::Batch;
use crate::config::{Activation, ModuleEntry, ModuleInput, SparseAutoEncoderConfig};
use crate::error::Result;
use crate::layers::Backbone;
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::{Array, Weights};

/// Names of the encoder's weight, which the decoder shares.
const ENCODER: &str = "encoder.weight";
const DECODER: &str = "decoder.linear.weight";

struct SparseAutoEncoder<O: Ops> {
    sentence: Sentence<O>,
    config: SparseAutoEncoderConfig,
    pre_bias: Array,
    encoder: O::Linear,
}

/// Loads the modules of a sentence embedding, which `before` lists, and the module that encodes it.
pub(super) fn load<O: Ops>(
    files: &Files<'_>,
    before: &[ModuleEntry],
    entry: &ModuleEntry,
    backbone: &mut Backbone<O>,
    ops: &O,
) -> Result<Box<dyn Head<O>>> {
    let sentence = Sentence::load(files, Some(before), backbone, ops, ModuleInput::Sentences)?;
    let width = sentence.width();
    let config = SparseAutoEncoderConfig::read(&entry.folder, width)?;
    let weights = Weights::open(&entry.folder)?;
    // The statistics are of training.
    weights.only(&["pre_bias", "latent_bias", ENCODER, DECODER, "stats_last_nonzero"])?;
    // Both are one parameter; a file may hold either name.
    let name = if weights.has(ENCODER) || !weights.has(DECODER) { ENCODER } else { DECODER };
    let encoder = weights.array(name, &[config.width, width])?;
    let bias = weights.array("latent_bias", &[config.width])?;
    Ok(Box::new(SparseAutoEncoder {
        sentence,
        config,
        pre_bias: weights.array("pre_bias", &[width])?,
        encoder: ops.in_full_precision().linear_layer(&[encoder], Some(&bias))?,
    }))
}

impl<O: Ops> Head<O> for SparseAutoEncoder<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::SPARSE
    }

    fn selection(&self, batch: &Batch) -> TokenSelection {
        self.sentence.selection(batch)
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        let mut rows = self.sentence.embed(ops, tokens, batch)?;
        for row in rows.chunks_exact_mut(self.sentence.width()) {
            if self.config.normalize {
                standardize(row);
            }
            row.iter_mut().zip(self.pre_bias.as_slice()).for_each(|(x, bias)| *x -= bias);
        }
        let x = ops.tensor(rows, self.sentence.width())?;
        // Of negative weights none stays, so the largest are chosen later among the positive ones.
        let codes = ops.to_vec(&ops.linear(&x, &self.encoder, Activation::Relu)?)?;
        let row = |code: &[f32]| (0..).zip(code.iter().copied()).filter(|(_, weight)| *weight > 0.0).collect();
        output.sparse = codes.chunks_exact(self.config.width).map(row).collect();
        Ok(())
    }

    fn width(&self) -> usize {
        self.config.width
    }

    fn excludes_prompt(&self) -> bool {
        self.sentence.excludes_prompt()
    }

    fn active_dims(&self) -> Option<usize> {
        Some(self.config.k)
    }
}

/// Subtracts the mean of a row and divides by its standard deviation, with torch's definition for samples.
fn standardize(row: &mut [f32]) {
    const EPS: f64 = 1e-5;
    let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64;
    let squares: f64 = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
    let deviation = (squares / (row.len() as f64 - 1.0)).sqrt() + EPS;
    row.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) / deviation) as f32);
}
