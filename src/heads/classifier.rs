//! Sequence classification: logits from one vector of a text, by each family's own layers. What differs is data.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::transform::{NormNames, Transform, TransformNames};
use super::{Files, Head, HeadRequest, Output, Selected};
use crate::batch::Batch;
use crate::config::{Activation, JsonFile, PoolingMode, token_id};
use crate::error::{Error, Result};
use crate::families::model_type;
use crate::layers::Parameters;
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::Weights;

/// How a family classifies, with the names of its layers.
struct Family {
    reads: Reads,
    transform: Option<TransformNames>,
    output: &'static str,
    output_bias: bool,
}

/// What of a text the layers are given.
#[derive(Clone, Copy)]
enum Reads {
    First,
    Mean,
    /// The last token but for padding, which may stand literally in a text.
    Last {
        pad: Option<u32>,
    },
}

/// What `config.json` says of a head; what is absent is as in transformers' classes.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    architectures: Option<Vec<String>>,
    id2label: Option<BTreeMap<String, Value>>,
    num_labels: Option<usize>,
    #[serde(deserialize_with = "token_id")]
    pad_token_id: Option<u32>,
    /// DeBERTa's
    pooler_hidden_act: String,
    /// ModernBERT's, as those below
    classifier_pooling: String,
    classifier_activation: String,
    classifier_bias: bool,
    norm_bias: bool,
    norm_eps: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            architectures: None,
            id2label: None,
            num_labels: None,
            pad_token_id: None,
            pooler_hidden_act: "gelu".to_owned(),
            classifier_pooling: "cls".to_owned(),
            classifier_activation: "gelu".to_owned(),
            classifier_bias: false,
            norm_bias: false,
            norm_eps: 1e-5,
        }
    }
}

/// The families that have a head here, for messages.
const FAMILIES: &str = "albert, bert, camembert, deberta-v2, distilbert, electra, gte, modernbert, mpnet, nomic_bert, \
                        qwen3, roberta, xlm-roberta";

impl Family {
    /// A dense layer on the first token's vector, and the output layer.
    fn first(dense: &'static str, activation: Activation, output: &'static str) -> Self {
        let transform = TransformNames { dense, dense_bias: true, activation, norm: None };
        Self { reads: Reads::First, transform: Some(transform), output, output_bias: true }
    }

    fn of(file: &JsonFile, config: &Config) -> Result<Self> {
        let activation = |name: &str, key| Activation::from_transformers(name, &file.path, key);
        Ok(match model_type(file)? {
            "bert" => Self::first("bert.pooler.dense", Activation::Tanh, "classifier"),
            "albert" => Self::first("albert.pooler", Activation::Tanh, "classifier"),
            "gte" => Self::first("gte.pooler.dense", Activation::Tanh, "classifier"),
            "nomic_bert" => Self::first("nomic_bert.pooler.dense", Activation::Tanh, "classifier"),
            "roberta" | "xlm-roberta" | "camembert" | "mpnet" => {
                Self::first("classifier.dense", Activation::Tanh, "classifier.out_proj")
            }
            "electra" => Self::first("classifier.dense", Activation::Gelu, "classifier.out_proj"),
            "distilbert" => Self::first("pre_classifier", Activation::Relu, "classifier"),
            "deberta-v2" => {
                let activation = activation(&config.pooler_hidden_act, "pooler_hidden_act")?;
                Self::first("pooler.dense", activation, "classifier")
            }
            "modernbert" => Self {
                reads: match config.classifier_pooling.as_str() {
                    "cls" => Reads::First,
                    "mean" => Reads::Mean,
                    other => {
                        let what = format!("{}: classifier_pooling", file.path.display());
                        return Err(Error::unsupported(what, other, "cls, mean"));
                    }
                },
                transform: Some(TransformNames {
                    dense: "head.dense",
                    dense_bias: config.classifier_bias,
                    activation: activation(&config.classifier_activation, "classifier_activation")?,
                    norm: Some(NormNames {
                        name: "head.norm",
                        bias: config.norm_bias,
                        eps: file.eps("norm_eps", config.norm_eps)?,
                    }),
                }),
                output: "classifier",
                output_bias: true,
            },
            "qwen3" => Self {
                reads: Reads::Last { pad: config.pad_token_id },
                transform: None,
                output: "score",
                output_bias: false,
            },
            other => {
                let what = format!("{}: for Reranker, model_type", file.path.display());
                return Err(Error::unsupported(what, other, FAMILIES));
            }
        })
    }
}

/// How many logits there are: transformers' default is 2, which old files leave out.
fn num_labels(file: &JsonFile, config: &Config) -> Result<usize> {
    match (&config.id2label, config.num_labels) {
        (Some(labels), _) => file.positive("id2label", labels.len()),
        (None, labels) => file.positive("num_labels", labels.unwrap_or(2)),
    }
}

struct Classifier<O: Ops> {
    reads: Reads,
    transform: Option<Transform<O>>,
    output: O::Linear,
    labels: usize,
}

pub(super) fn load<O: Ops>(files: &Files<'_>, weights: &Weights, width: usize, ops: &O) -> Result<Box<dyn Head<O>>> {
    if files.entries.is_some_and(|entries| entries.len() != 1) {
        let problem = "must list one module, the Transformer that classifies";
        return Err(Error::config(files.folder.join("modules.json"), "(whole file)", problem));
    }
    let file = files.config;
    let config: Config = file.parse()?;
    let architecture = config.architectures.iter().flatten().next();
    if let Some(other) = architecture.filter(|name| !name.ends_with("ForSequenceClassification")) {
        let what = format!("{}: for Reranker, architecture", file.path.display());
        return Err(Error::unsupported(what, other, "sequence classifiers (names in …ForSequenceClassification)"));
    }
    let family = Family::of(file, &config)?;
    let labels = num_labels(file, &config)?;
    let parameters = Parameters::new(weights, ops);
    let transform = |names: &TransformNames| Transform::load(&parameters, names, width, width);
    Ok(Box::new(Classifier {
        reads: family.reads,
        transform: family.transform.as_ref().map(transform).transpose()?,
        output: parameters.stacked_linear(&[(family.output, labels)], width, family.output_bias)?,
        labels,
    }))
}

impl<O: Ops> Head<O> for Classifier<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::POOLED
    }

    fn selection(&self, _: &Batch) -> TokenSelection {
        match self.reads {
            Reads::First => TokenSelection::First,
            Reads::Mean | Reads::Last { .. } => TokenSelection::All,
        }
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        let mode = match (self.reads, tokens.selection) {
            (Reads::First, TokenSelection::All) => Some(PoolingMode::Cls),
            (Reads::Mean, _) => Some(PoolingMode::Mean),
            (Reads::First | Reads::Last { .. }, _) => None,
        };
        let pooled = mode.map(|mode| ops.pool(tokens.embeddings, batch, &[mode])).transpose()?;
        let x = pooled.as_ref().unwrap_or(tokens.embeddings);
        let transformed = self.transform.as_ref().map(|transform| transform.forward(ops, x)).transpose()?;
        let x = transformed.as_ref().unwrap_or(x);
        let logits = ops.to_vec(&ops.linear(x, &self.output, Activation::Identity)?)?;
        output.pooled = match self.reads {
            Reads::First | Reads::Mean => logits,
            // There are logits of all tokens by now, and few of each.
            Reads::Last { pad } => {
                let rows = batch.texts().map(|text| last_but_padding(&batch.input_ids[text.clone()], pad) + text.start);
                rows.flat_map(|row| &logits[row * self.labels..][..self.labels]).copied().collect()
            }
        };
        Ok(())
    }

    fn width(&self) -> usize {
        self.labels
    }
}

/// The place of the last id that is not `pad`; 0 where there is none.
fn last_but_padding(ids: &[u32], pad: Option<u32>) -> usize {
    ids.iter().rposition(|id| Some(*id) != pad).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::last_but_padding;

    #[test]
    fn the_last_token_is_no_padding() {
        assert_eq!(last_but_padding(&[5, 6, 7], Some(0)), 2);
        assert_eq!(last_but_padding(&[5, 0, 6, 0, 0], Some(0)), 2);
        assert_eq!(last_but_padding(&[5, 0], None), 1);
        assert_eq!(last_but_padding(&[0, 0], Some(0)), 0);
    }
}
