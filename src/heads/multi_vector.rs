//! Late interaction (Khattab and Zaharia, 2020): one vector per token.

use super::{Files, Head, HeadRequest, Output, Selected};
use crate::batch::Batch;
use crate::config::{ModuleInput, ModuleKind};
use crate::error::{Error, Result};
use crate::modules::{self, Module};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::{Array, Weights};

/// Name of the projection's weight in Stanford's folders and in Dense modules.
pub(crate) const PROJECTION: &str = "linear.weight";

pub(super) struct MultiVector<O: Ops> {
    modules: Vec<Module<O>>,
    width: usize,
}

/// Loads the modules after the transformer, which act on each token's vector. Stanford's folders list no modules; their
/// projection is among the transformer's weights.
pub(super) fn load<O: Ops>(
    files: &Files<'_>,
    weights: &Weights,
    hidden_size: usize,
    ops: &O,
) -> Result<Box<dyn Head<O>>> {
    let Some(entries) = files.entries else {
        return stanford(files, weights, hidden_size, ops);
    };
    let (mut modules, mut width) = (Vec::new(), hidden_size);
    // The collector applies the mask, because it needs token ids.
    let listed = entries.iter().skip(1).filter(|entry| entry.kind != ModuleKind::MultiVectorMask);
    for entry in listed {
        let (module, output) = Module::load(entry, ModuleInput::Tokens, width, ops)?;
        modules.push(module);
        width = output;
    }
    Ok(Box::new(MultiVector { modules, width }))
}

fn stanford<O: Ops>(files: &Files<'_>, weights: &Weights, hidden_size: usize, ops: &O) -> Result<Box<dyn Head<O>>> {
    let architecture = files.config.architecture();
    if architecture != Some("HF_ColBERT") {
        let what = format!("{}: without modules.json, for MultiVectorModel, architecture", files.config.path.display());
        return Err(Error::unsupported(what, architecture.unwrap_or("none"), "HF_ColBERT"));
    }
    let projection = weights.matrix(PROJECTION, hidden_size)?;
    Ok(Box::new(MultiVector::projected(&projection, None, ops)?))
}

impl<O: Ops> MultiVector<O> {
    /// Makes the head of a linear layer and L2 normalization.
    pub(super) fn projected(weight: &Array, bias: Option<&Array>, ops: &O) -> Result<Self> {
        let modules = vec![Module::projection(weight, bias, ops)?, Module::Normalize];
        Ok(Self { modules, width: weight.shape[0] })
    }
}

impl<O: Ops> Head<O> for MultiVector<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::TOKEN_VECTORS
    }

    fn selection(&self, _: &Batch) -> TokenSelection {
        TokenSelection::All
    }

    fn forward(&self, ops: &O, tokens: &Selected<'_, O>, _: &DeviceBatch<'_, O>, output: &mut Output) -> Result<()> {
        output.token_vectors = modules::apply(&self.modules, ops, tokens.embeddings)?;
        Ok(())
    }

    fn width(&self) -> usize {
        self.width
    }
}
