//! SPLADE (Formal et al., 2021): how much each token of the vocabulary says about a text, by a masked-language-model head.
//! What differs between families is data.

use std::ops::Range;

use serde::Deserialize;

use super::transform::{NormNames, Transform, TransformNames};
use super::{Files, Head, HeadRequest, Output, Selected, SparseRow};
use crate::batch::Batch;
use crate::config::{Activation, JsonFile, ModuleKind, PoolingMode, SpladeConfig, SpladePooling};
use crate::error::{Error, Result};
use crate::families::model_type;
use crate::layers::{Limits, Parameters};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::{Array, Weights};

/// Tokens of the vocabulary whose logits are held at once, for a micro-batch's tokens.
const BLOCK: usize = 1024;

/// How a family predicts masked tokens, with the names of its layers.
struct Family {
    transform: TransformNames,
    /// Columns of the transform, and of the embedding table.
    width: usize,
    /// The embedding table, which is the output layer's weight where the two are tied.
    words: &'static str,
    output: &'static str,
    /// The output layer's bias under a name of its own.
    bias: Option<&'static str>,
}

/// What `config.json` says of a head; what is absent is as in transformers' classes.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    hidden_act: String,
    layer_norm_eps: f64,
    tie_word_embeddings: bool,
    /// ALBERT's and ELECTRA's
    embedding_size: usize,
    /// DistilBERT's
    activation: String,
    /// ModernBERT's, as those below
    classifier_activation: String,
    classifier_bias: bool,
    decoder_bias: bool,
    norm_bias: bool,
    norm_eps: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-12,
            tie_word_embeddings: true,
            embedding_size: 128,
            activation: "gelu".to_owned(),
            classifier_activation: "gelu".to_owned(),
            classifier_bias: false,
            decoder_bias: true,
            norm_bias: false,
            norm_eps: 1e-5,
        }
    }
}

/// The families that have a head here, for messages.
const FAMILIES: &str = "albert, bert, camembert, distilbert, electra, modernbert, mpnet, roberta, xlm-roberta";

impl Family {
    fn of(file: &JsonFile, config: &Config, hidden_size: usize) -> Result<Self> {
        let activation = |name: &str, key| Activation::from_transformers(name, &file.path, key);
        let eps = file.eps("layer_norm_eps", config.layer_norm_eps)?;
        let transform = |dense, activation, norm| TransformNames {
            dense,
            dense_bias: true,
            activation,
            norm: Some(NormNames { name: norm, bias: true, eps }),
        };
        Ok(match model_type(file)? {
            "bert" => Self {
                transform: transform(
                    "cls.predictions.transform.dense",
                    activation(&config.hidden_act, "hidden_act")?,
                    "cls.predictions.transform.LayerNorm",
                ),
                width: hidden_size,
                words: "bert.embeddings.word_embeddings",
                output: "cls.predictions.decoder",
                bias: Some("cls.predictions.bias"),
            },
            name @ ("roberta" | "xlm-roberta" | "camembert" | "mpnet") => Self {
                transform: transform("lm_head.dense", Activation::Gelu, "lm_head.layer_norm"),
                width: hidden_size,
                words: match name {
                    "mpnet" => "mpnet.embeddings.word_embeddings",
                    _ => "roberta.embeddings.word_embeddings",
                },
                output: "lm_head.decoder",
                bias: Some("lm_head.bias"),
            },
            "distilbert" => Self {
                transform: TransformNames {
                    norm: Some(NormNames { name: "vocab_layer_norm", bias: true, eps: 1e-12 }),
                    ..transform("vocab_transform", activation(&config.activation, "activation")?, "")
                },
                width: hidden_size,
                words: "distilbert.embeddings.word_embeddings",
                output: "vocab_projector",
                bias: None,
            },
            "electra" => Self {
                transform: transform(
                    "generator_predictions.dense",
                    Activation::Gelu,
                    "generator_predictions.LayerNorm",
                ),
                width: file.positive("embedding_size", config.embedding_size)?,
                words: "electra.embeddings.word_embeddings",
                output: "generator_lm_head",
                bias: None,
            },
            "albert" => Self {
                transform: transform(
                    "predictions.dense",
                    activation(&config.hidden_act, "hidden_act")?,
                    "predictions.LayerNorm",
                ),
                width: file.positive("embedding_size", config.embedding_size)?,
                words: "albert.embeddings.word_embeddings",
                output: "predictions.decoder",
                bias: Some("predictions.bias"),
            },
            "modernbert" => Self {
                transform: TransformNames {
                    dense: "head.dense",
                    dense_bias: config.classifier_bias,
                    activation: activation(&config.classifier_activation, "classifier_activation")?,
                    norm: Some(NormNames {
                        name: "head.norm",
                        bias: config.norm_bias,
                        eps: file.eps("norm_eps", config.norm_eps)?,
                    }),
                },
                width: hidden_size,
                words: "model.embeddings.tok_embeddings",
                output: "decoder",
                bias: None,
            },
            other => {
                let what = format!("{}: for SparseModel, model_type", file.path.display());
                return Err(Error::unsupported(what, other, FAMILIES));
            }
        })
    }
}

struct Splade<O: Ops> {
    transform: Transform<O>,
    /// The output layer in blocks of the vocabulary, so that the logits of all tokens are never held at once.
    blocks: Vec<(Range<usize>, O::Linear)>,
    config: SpladeConfig,
    vocab_size: usize,
}

/// How the modules must be: a transformer with its head, and pooling. Where there is no `modules.json`, the largest weight
/// over the tokens is meant, as sentence-transformers has it.
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
    let architecture = file.value.pointer("/architectures/0").and_then(serde_json::Value::as_str);
    if let Some(other) = architecture.filter(|name| !name.ends_with("ForMaskedLM")) {
        let what = format!("{}: for SparseModel, architecture", file.path.display());
        return Err(Error::unsupported(what, other, "masked language models (names in …ForMaskedLM)"));
    }
    let config: Config = file.parse()?;
    let family = Family::of(file, &config, limits.hidden_size)?;
    let (vocab_size, width) = (limits.vocab_size, family.width);
    let words = if config.tie_word_embeddings { family.words } else { family.output };
    let words = weights.array(&format!("{words}.weight"), &[vocab_size, width])?;
    let filed = format!("{}.bias", family.output);
    // The bias that the output layer has by its own name counts for nothing where the two are tied.
    let own = |name: &&str| config.tie_word_embeddings && weights.has(name) || !weights.has(&filed);
    let bias = match family.bias.filter(own) {
        Some(name) => weights.array(name, &[vocab_size])?,
        None if config.decoder_bias => weights.array(&filed, &[vocab_size])?,
        None => Array::new(vec![vocab_size], vec![0.0; vocab_size]),
    };
    let block = |first: usize| {
        let tokens = first..vocab_size.min(first + BLOCK);
        let layer = ops.linear_layer(&[words.rows(tokens.clone())], Some(&bias.rows(tokens.clone())))?;
        Ok((tokens, layer))
    };
    Ok(Box::new(Splade {
        transform: Transform::load(&Parameters::new(weights, ops), &family.transform, limits.hidden_size, width)?,
        blocks: (0..vocab_size).step_by(BLOCK).map(block).collect::<Result<_>>()?,
        config: pooling(files)?,
        vocab_size,
    }))
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
                // The weight grows with the logit: the largest logit has the largest weight.
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
    /// log(1 + x) of a logit from 0 up, or twice that.
    fn weight(&self, logit: f32) -> f32 {
        match self.config.twice {
            false => logit.ln_1p(),
            true => logit.ln_1p().ln_1p(),
        }
    }

    /// The sum of the weights over each text's tokens: `(tokens, width)` to `(texts, width)`.
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
