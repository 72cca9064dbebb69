//! Heads of bge-m3 on token embeddings (Chen et al., 2024). Each is a linear layer in a file of its own beside the
//! transformer's weights.

use std::path::Path;

use super::Head;
use super::multi_vector::MultiVector;
use super::token_classifier::TokenClassifier;
use crate::config::{COLBERT_LINEAR, Kind, SPARSE_LINEAR};
use crate::error::Result;
use crate::layers::Limits;
use crate::ops::Ops;
use crate::weights::Weights;

/// Loads the head of a kind from its file in the transformer's folder; `None` without one.
pub(super) fn load<O: Ops>(
    kind: Kind,
    transformer: &Path,
    limits: Limits,
    ops: &O,
) -> Result<Option<Box<dyn Head<O>>>> {
    match kind {
        Kind::Sentence | Kind::Reranker => Ok(None),
        Kind::Sparse => opened(&transformer.join(SPARSE_LINEAR))?.map(|file| sparse(&file, limits, ops)).transpose(),
        Kind::MultiVector => {
            opened(&transformer.join(COLBERT_LINEAR))?.map(|file| multi_vector(&file, limits, ops)).transpose()
        }
    }
}

const WEIGHT: &str = "weight";
const BIAS: &str = "bias";

fn opened(file: &Path) -> Result<Option<Weights>> {
    if !file.exists() {
        return Ok(None);
    }
    let weights = Weights::of_torch_file(file)?;
    weights.only(&[WEIGHT, BIAS])?;
    Ok(Some(weights))
}

/// Loads the layer that gives each token a weight.
fn sparse<O: Ops>(file: &Weights, limits: Limits, ops: &O) -> Result<Box<dyn Head<O>>> {
    // One output gains nothing by less precision.
    let ops = &ops.in_full_precision();
    let weight = file.array(WEIGHT, &[1, limits.hidden_size])?;
    let linear = ops.linear_layer(&[weight], Some(&file.array(BIAS, &[1])?))?;
    Ok(Box::new(TokenClassifier::of_tokens(linear, limits.vocab_size)))
}

/// Loads the layer that projects each token to a vector, of any width.
fn multi_vector<O: Ops>(file: &Weights, limits: Limits, ops: &O) -> Result<Box<dyn Head<O>>> {
    let weight = file.matrix(WEIGHT, limits.hidden_size)?;
    let bias = file.array(BIAS, &weight.shape[..1])?;
    Ok(Box::new(MultiVector::projected(&weight, Some(&bias), ops)?))
}
