//! Modules after the backbone: pooling to one vector per text, Dense, LayerNorm, Normalize and a quantizer.

use std::path::Path;

use crate::config::{
    Activation, DenseConfig, JsonFile, LayerNormConfig, LayerPoolingConfig, ModuleEntry, ModuleInput, ModuleKind,
    NormalizeConfig, PoolingConfig, PoolingMode,
};
use crate::error::{Error, Result};
use crate::layers::Parameters;
use crate::ops::Ops;
use crate::weights::{Array, Weights};

/// Module on sentence embeddings or token embeddings.
pub(crate) enum Module<O: Ops> {
    Dense(Dense<O>),
    LayerNorm(O::Norm),
    Normalize,
    /// Rounds `127 tanh(x)` to whole numbers; rows of this width.
    Quantizer {
        width: usize,
    },
}

/// `activation(x · weightᵀ + bias)`, with a residual if configured.
pub(crate) struct Dense<O: Ops> {
    linear: O::Linear,
    activation: Activation,
    residual: Residual<O>,
}

enum Residual<O: Ops> {
    None,
    Input,
    Projected(O::Linear),
}

impl<O: Ops> Module<O> {
    /// Makes a linear layer without activation.
    pub(crate) fn projection(weight: &Array, bias: Option<&Array>, ops: &O) -> Result<Self> {
        let linear = ops.linear_layer(std::slice::from_ref(weight), bias)?;
        Ok(Self::Dense(Dense { linear, activation: Activation::Identity, residual: Residual::None }))
    }

    /// Loads a module with `width` input columns. Returns the number of its output columns, too.
    pub(crate) fn load(entry: &ModuleEntry, on: ModuleInput, width: usize, ops: &O) -> Result<(Self, usize)> {
        let exact;
        let ops = match on {
            ModuleInput::Sentences | ModuleInput::SentencesForScores => {
                exact = ops.in_full_precision();
                &exact
            }
            ModuleInput::Tokens => ops,
        };
        match entry.kind {
            ModuleKind::Dense => {
                let config = DenseConfig::read(entry, on, width)?;
                Ok((Self::Dense(Dense::load(&entry.folder, &config, ops)?), config.out_features))
            }
            ModuleKind::LayerNorm => {
                LayerNormConfig::check(&entry.folder, on, width)?;
                let weights = Weights::open(&entry.folder)?;
                Ok((
                    Self::LayerNorm(Parameters::new(&weights, ops).layer_norm("norm", width, LayerNormConfig::EPS)?),
                    width,
                ))
            }
            ModuleKind::Normalize => {
                NormalizeConfig::check(&entry.folder, on)?;
                Ok((Self::Normalize, width))
            }
            ModuleKind::FlexibleQuantizer if matches!(on, ModuleInput::Sentences) => {
                Ok((Self::Quantizer { width }, width))
            }
            other => {
                let what = format!("{}: module after pooling", entry.folder.display());
                Err(Error::unsupported(what, other.name(), "Dense, LayerNorm, Normalize, FlexibleQuantizer"))
            }
        }
    }

    /// Maps `(rows, width)` to `(rows, output width)`, with one row per text or token.
    pub(crate) fn forward(&self, ops: &O, x: &O::Tensor) -> Result<O::Tensor> {
        match self {
            Self::Dense(dense) => dense.forward(ops, x),
            Self::LayerNorm(norm) => ops.norm(x, norm),
            Self::Normalize => ops.normalize(x),
            Self::Quantizer { width } => ops.tensor(ops.to_vec(x)?.into_iter().map(int8_code).collect(), *width),
        }
    }
}

/// Returns the code of a number as a float; halves are rounded to even, as in torch.
fn int8_code(x: f32) -> f32 {
    (f64::from(x).tanh() as f32 * 127.0).round_ties_even()
}

/// Loads modules on rows of `width` columns, and returns the number of their output's columns, too. `last` is the input and
/// output of the last one.
pub(crate) fn load<O: Ops>(
    entries: &[ModuleEntry],
    last: ModuleInput,
    mut width: usize,
    ops: &O,
) -> Result<(Vec<Module<O>>, usize)> {
    let mut modules = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let on = if i + 1 == entries.len() { last } else { ModuleInput::Sentences };
        let (module, output) = Module::load(entry, on, width, ops)?;
        modules.push(module);
        width = output;
    }
    Ok((modules, width))
}

/// Applies modules in order, and copies the result from the device.
pub(crate) fn apply<O: Ops>(modules: &[Module<O>], ops: &O, x: &O::Tensor) -> Result<Vec<f32>> {
    let mut output = None;
    for module in modules {
        output = Some(module.forward(ops, output.as_ref().unwrap_or(x))?);
    }
    ops.to_vec(output.as_ref().unwrap_or(x))
}

impl<O: Ops> Dense<O> {
    fn load(folder: &Path, config: &DenseConfig, ops: &O) -> Result<Self> {
        let weights = Weights::open(folder)?;
        let shape = [config.out_features, config.in_features];
        let bias = config.bias.then(|| weights.array("linear.bias", &shape[..1])).transpose()?;
        let linear = ops.linear_layer(&[weights.array("linear.weight", &shape)?], bias.as_ref())?;
        let residual = match config.residual {
            false => Residual::None,
            true if config.in_features == config.out_features => Residual::Input,
            true => Residual::Projected(ops.linear_layer(&[weights.array("residual.weight", &shape)?], None)?),
        };
        let mut known = vec!["linear.weight"];
        known.extend(config.bias.then_some("linear.bias"));
        known.extend(matches!(residual, Residual::Projected(_)).then_some("residual.weight"));
        weights.only(&known)?;
        Ok(Self { linear, activation: config.activation, residual })
    }

    fn forward(&self, ops: &O, x: &O::Tensor) -> Result<O::Tensor> {
        let y = ops.linear(x, &self.linear, self.activation)?;
        match &self.residual {
            Residual::None => Ok(y),
            Residual::Input => ops.add(&y, x),
            Residual::Projected(linear) => ops.add(&y, &ops.linear(x, linear, Activation::Identity)?),
        }
    }
}

/// Reads the weights of WeightedLayerPooling: one per layer, the embeddings' first, with a sum of 1.
pub(crate) fn layer_weights(entry: &ModuleEntry, layers: usize) -> Result<Vec<f32>> {
    let config = LayerPoolingConfig::read(&entry.folder, layers)?;
    let weights = Weights::open(&entry.folder)?;
    let own = weights.array("layer_weights", &[config.layers + 1 - config.first])?;
    let sum: f32 = own.as_slice().iter().sum();
    if !sum.is_normal() {
        return Err(Error::weights(weights.file(), format!("layer_weights must have a nonzero sum, got {sum}")));
    }
    let own = own.as_slice().iter().map(|weight| weight / sum);
    Ok(std::iter::repeat_n(0.0, config.first).chain(own).collect())
}

/// Reads the configuration of pooling, the first module after the transformer. The default without `modules.json` is
/// mean pooling, or last-token pooling for causal models, as in sentence-transformers.
pub(crate) fn pooling(entries: Option<&[ModuleEntry]>, folder: &Path, config: &JsonFile) -> Result<PoolingConfig> {
    match entries {
        Some([module, ..]) if module.kind == ModuleKind::Pooling => match &module.pooling {
            Some(asked) => Ok(asked.clone()),
            None => PoolingConfig::read(&module.folder),
        },
        Some(_) => {
            let problem = "must list a Transformer first and a Pooling module after it";
            Err(Error::config(folder.join("modules.json"), "(whole file)", problem))
        }
        None => {
            let mode = if config.is_causal_lm() { PoolingMode::LastToken } else { PoolingMode::Mean };
            Ok(PoolingConfig { modes: vec![mode], include_prompt: true })
        }
    }
}
