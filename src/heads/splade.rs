//! SPLADE (Formal et al., 2021): a weight for each token of the vocabulary, from a masked-language-model head. Families
//! describe its layers.

use std::ops::Range;

use super::transform::Transform;
use super::{Files, Head, HeadRequest, Output, Selected, SparseRow};
use crate::batch::Batch;
use crate::config::{Activation, JsonFile, ModuleKind, PoolingMode, SpladeConfig, SpladePooling};
use crate::error::{Error, Result};
use crate::families::heads::{MaskedLmHead, OutputBias};
use crate::layers::{Limits, Parameters};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::{Array, Weights};

/// Number of vocabulary tokens per block. Only one block of logits is in memory at a time.
const BLOCK: usize = 1024;

struct Splade<O: Ops> {
    transform: Transform<O>,
    /// Output layer in blocks of the vocabulary, so that the logits of all tokens are never in memory at once.
    blocks: Vec<(Range<usize>, O::Linear)>,
    config: SpladeConfig,
    vocab_size: usize,
}

/// Reads the pooling, the only module after the transformer. The default without `modules.json` is max pooling, as in
/// sentence-transformers.
fn pooling(files: &Files<'_>) -> Result<SpladeConfig> {
    match files.entries {
        Some([_, pooling]) if pooling.kind == ModuleKind::SpladePooling => SpladeConfig::read(&pooling.folder),
        Some(_) => {
            let problem = "must list a Transformer and a SpladePooling module, or a Router of such";
            Err(Error::config(files.folder.join("modules.json"), "(whole file)", problem))
        }
        None => Ok(SpladeConfig::default()),
    }
}

pub(super) fn load<O: Ops>(files: &Files<'_>, weights: &Weights, limits: Limits, ops: &O) -> Result<Box<dyn Head<O>>> {
    let file = files.config;
    let head = files.family.masked_lm_head(file)?;
    let vocab_size = limits.vocab_size;
    let (words, bias) = output_layer(file, &head, weights, vocab_size)?;
    let block = |first: usize| {
        let tokens = first..vocab_size.min(first + BLOCK);
        let layer = ops.linear_layer(&[words.rows(tokens.clone())], Some(&bias.rows(tokens.clone())))?;
        Ok((tokens, layer))
    };
    Ok(Box::new(Splade {
        transform: Transform::load(&Parameters::new(weights, ops), &head.transform, limits.hidden_size, head.width)?,
        blocks: (0..vocab_size).step_by(BLOCK).map(block).collect::<Result<_>>()?,
        config: pooling(files)?,
        vocab_size,
    }))
}

/// Loads the output layer's weight, `(vocab_size, width)`, and its bias.
fn output_layer(file: &JsonFile, head: &MaskedLmHead, weights: &Weights, vocab_size: usize) -> Result<(Array, Array)> {
    let tied = file.get("tie_word_embeddings", true)?;
    let words = if tied { head.words } else { head.output };
    let words = weights.array(&format!("{words}.weight"), &[vocab_size, head.width])?;
    let of_layer = format!("{}.bias", head.output);
    let bias = match head.bias {
        OutputBias::Absent => Array::new(vec![vocab_size], vec![0.0; vocab_size]),
        // With tied embeddings, a bias under the layer's name is ignored.
        OutputBias::Own(name) if tied && weights.has(name) || !weights.has(&of_layer) => {
            weights.array(name, &[vocab_size])?
        }
        OutputBias::Own(_) | OutputBias::OfLayer => weights.array(&of_layer, &[vocab_size])?,
    };
    Ok((words, bias))
}

impl<O: Ops> Head<O> for Splade<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::SPARSE
    }

    fn selection(&self, _: &Batch) -> TokenSelection {
        TokenSelection::All
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        let x = self.transform.forward(ops, tokens.embeddings)?;
        let mut sparse = vec![SparseRow::new(); batch.len()];
        for (vocabulary, layer) in &self.blocks {
            (tokens.checkpoint)()?;
            let logits = ops.linear(&x, layer, Activation::Relu)?;
            let width = vocabulary.len();
            let pooled = match self.config.pooling {
                // The weight grows with the logit, so the largest logit has the largest weight.
                SpladePooling::Max => {
                    let mut logits = ops.to_vec(&ops.pool(&logits, batch, &[PoolingMode::Max])?)?;
                    logits.iter_mut().for_each(|x| *x = self.weight(*x));
                    logits
                }
                SpladePooling::Sum => self.sums(&ops.to_vec(&logits)?, batch, width),
            };
            for (row, weights) in sparse.iter_mut().zip(pooled.chunks_exact(width)) {
                let weights = vocabulary.clone().map(|token| token as u32).zip(weights.iter().copied());
                row.extend(weights.filter(|(_, weight)| *weight != 0.0));
            }
        }
        output.sparse = sparse;
        Ok(())
    }

    fn width(&self) -> usize {
        self.vocab_size
    }
}

impl<O: Ops> Splade<O> {
    /// Returns log(1 + x) of a logit of at least 0, or log(1 + log(1 + x)) if configured.
    fn weight(&self, logit: f32) -> f32 {
        match self.config.twice {
            false => logit.ln_1p(),
            true => logit.ln_1p().ln_1p(),
        }
    }

    /// Sums the weights over each text's tokens: `(tokens, width)` to `(texts, width)`.
    fn sums(&self, logits: &[f32], batch: &Batch, width: usize) -> Vec<f32> {
        let sum = |text: Range<usize>| {
            let mut sums = vec![0.0f64; width];
            for logits in logits[text.start * width..text.end * width].chunks_exact(width) {
                for (sum, logit) in sums.iter_mut().zip(logits).filter(|(_, logit)| **logit != 0.0) {
                    *sum += f64::from(self.weight(*logit));
                }
            }
            sums.into_iter().map(|sum| sum as f32)
        };
        batch.texts().flat_map(sum).collect()
    }
}
