//! BERT and its descendants (Devlin et al., 2019): tables of embeddings, then layers with a norm after each residual.
//!
//! A family configures its tables, its attention's positions, and the names in its checkpoints.

use super::attention_heads::AttentionHeads;
use super::embeddings::{Embeddings, PositionRule};
use super::encoder::{Encoder, FeedForwardBlock, Layer, Mixing};
use super::{Backbone, Limits, Parameters};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::ops::{Attention, FeedForward, Ops, Residual};
use crate::weights::Weights;

/// Sizes of an encoder and of its tables.
pub(crate) struct EncoderShape {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) layers: usize,
    pub(crate) heads: AttentionHeads,
    pub(crate) intermediate_size: usize,
    pub(crate) activation: Activation,
    pub(crate) max_position_embeddings: usize,
    pub(crate) eps: f32,
}

/// Names of a checkpoint's parameters.
pub(crate) struct CheckpointNames {
    pub(crate) layers: &'static str,
    pub(crate) embedding_norm: &'static str,
    pub(crate) layer: LayerNames,
}

/// Names within a layer.
pub(crate) struct LayerNames {
    pub(crate) query_key_value: Projections,
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) up: Up,
    pub(crate) down: &'static str,
    pub(crate) output_norm: &'static str,
}

impl CheckpointNames {
    /// Returns the names in transformers' own class, for a family whose checkpoints are older than the class.
    /// transformers saves by the older names by default, so both are in use.
    pub(crate) const fn of_transformers(up: Up, down: &'static str) -> Self {
        let layer = LayerNames {
            query_key_value: Projections::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
            attention_output: "self_attn.o_proj",
            attention_norm: "post_attention_layernorm",
            up,
            down,
            output_norm: "post_mlp_layernorm",
        };
        Self { layers: "layers", embedding_norm: "embeddings.LayerNorm", layer }
    }

    /// Returns the names that the weights have; the first if they have neither, for error messages.
    pub(crate) fn of<'a>([first, second]: &'a [Self; 2], weights: &Weights) -> &'a Self {
        let norm = format!("{}.0.{}.weight", second.layers, second.layer.attention_norm);
        if weights.has(&norm) { second } else { first }
    }
}

/// Queries, keys and values.
pub(crate) enum Projections {
    /// Separate linear layers.
    Apart([&'static str; 3]),
    /// One linear layer, in the order queries, keys, values.
    Together(&'static str),
}

/// The first linear layers of a feed-forward block. The activated one is the gate.
pub(crate) enum Up {
    Plain(&'static str),
    Gated {
        gate: &'static str,
        up: &'static str,
    },
    /// One linear layer: the gate comes first.
    Together(&'static str),
    /// One linear layer: the values come first, then their gate.
    Swapped(&'static str),
}

/// Linear layers that have biases.
#[derive(Clone, Copy)]
pub(crate) struct Biases {
    pub(crate) attention: bool,
    pub(crate) up: bool,
    pub(crate) down: bool,
}

impl Biases {
    pub(crate) const ALL: Self = Self { attention: true, up: true, down: true };
}

/// Width of the embedding tables, and the linear layer from it to the hidden size.
#[derive(Clone, Copy)]
pub(crate) struct Factorized {
    pub(crate) width: usize,
    /// Projection; absent if the widths are equal.
    pub(crate) projection: Option<&'static str>,
}

/// Transformer like BERT.
pub(crate) struct PostNorm<'a> {
    pub(crate) shape: &'a EncoderShape,
    /// Rows of the table of token types, in families that have one.
    pub(crate) token_types: Option<usize>,
    /// Rule of the table of positions, in families that have one.
    pub(crate) positions: Option<PositionRule>,
    pub(crate) factorized: Option<Factorized>,
    pub(crate) names: &'a CheckpointNames,
    pub(crate) biases: Biases,
    /// True if the norms of the layers are RMS norms.
    pub(crate) rms_norms: bool,
}

impl<'a> PostNorm<'a> {
    /// Makes a transformer with only the word table, and all biases.
    pub(crate) fn new(shape: &'a EncoderShape, names: &'a CheckpointNames) -> Self {
        let (token_types, positions, factorized) = (None, None, None);
        Self { shape, token_types, positions, factorized, names, biases: Biases::ALL, rms_norms: false }
    }

    /// Loads the transformer. `attention` gets the parameters of its layer.
    pub(crate) fn load<O: Ops>(
        &self,
        file: &JsonFile,
        parameters: &Parameters<'_, O>,
        attention: impl Fn(&Parameters<'_, O>) -> Result<Attention<O>> + Sync,
    ) -> Result<Backbone<O>> {
        self.load_layers(file, parameters, |_, layer| self.layer(layer, attention(layer)?))
    }

    /// Loads the transformer. `layer` loads a layer by its number and parameters.
    pub(crate) fn load_layers<O: Ops>(
        &self,
        file: &JsonFile,
        parameters: &Parameters<'_, O>,
        layer: impl Fn(usize, &Parameters<'_, O>) -> Result<Layer<O>> + Sync,
    ) -> Result<Backbone<O>> {
        let limits = self.limits(file)?;
        let embeddings = self.embeddings(parameters)?;
        let layers = parameters.at(self.names.layers);
        let encoder = Encoder::load(self.shape.layers, |i| layer(i, &layers.at(&i.to_string())))?;
        Ok(Backbone { embeddings, encoder, limits })
    }

    /// Checks that the table of positions fits a text, and returns the limits.
    pub(crate) fn limits(&self, file: &JsonFile) -> Result<Limits> {
        let EncoderShape { hidden_size, vocab_size, max_position_embeddings, .. } = *self.shape;
        let max_tokens = self.positions.map(|rule| rule.max_tokens(file, max_position_embeddings)).transpose()?;
        Ok(Limits {
            hidden_size,
            vocab_size,
            type_vocab_size: self.token_types,
            max_tokens,
            max_position_embeddings: Some(max_position_embeddings),
        })
    }

    /// Loads the tables, their norm, and the projection of narrower ones.
    pub(crate) fn embeddings<O: Ops>(&self, parameters: &Parameters<'_, O>) -> Result<Embeddings<O>> {
        let shape = self.shape;
        let Factorized { width, projection } =
            self.factorized.unwrap_or(Factorized { width: shape.hidden_size, projection: None });
        let tables = parameters.at("embeddings");
        let token_types = self.token_types.map(|types| tables.table("token_type_embeddings", types, width));
        let positions = self.positions.map(|rule| {
            let table = tables.table("position_embeddings", shape.max_position_embeddings, width);
            table.map(|table| (table, rule))
        });
        Ok(Embeddings {
            token_types: token_types.transpose()?,
            positions: positions.transpose()?,
            norm: Some(parameters.layer_norm(self.names.embedding_norm, width, shape.eps)?),
            projection: projection.map(|name| parameters.linear(name, width, shape.hidden_size)).transpose()?,
            ..Embeddings::of_words(tables.table("word_embeddings", shape.vocab_size, width)?)
        })
    }

    /// Loads a layer.
    pub(crate) fn layer<O: Ops>(&self, parameters: &Parameters<'_, O>, attention: Attention<O>) -> Result<Layer<O>> {
        self.layer_with(parameters, attention, FeedForwardBlock::Dense(self.feed_forward(parameters)?))
    }

    /// Loads a layer with another feed-forward block.
    pub(crate) fn layer_with<O: Ops>(
        &self,
        parameters: &Parameters<'_, O>,
        attention: Attention<O>,
        feed_forward: FeedForwardBlock<O>,
    ) -> Result<Layer<O>> {
        let Self { shape, biases, .. } = *self;
        let names = &self.names.layer;
        let hidden = shape.hidden_size;
        let [queries, keys, values] = attention.widths();
        let query_key_value = match names.query_key_value {
            Projections::Apart([q, k, v]) => vec![(q, queries), (k, keys), (v, values)],
            Projections::Together(name) => vec![(name, queries.saturating_add(keys).saturating_add(values))],
        };
        let output = &[(names.attention_output, hidden)];
        let add_norm = |name| {
            let norm = match self.rms_norms {
                true => parameters.rms_norm(name, hidden, shape.eps),
                false => parameters.layer_norm(name, hidden, shape.eps),
            };
            norm.map(Residual::AddNorm)
        };
        Ok(Layer {
            attention_norm: None,
            query_key_value: parameters.stacked_linear(&query_key_value, hidden, biases.attention)?,
            attention: Mixing::Attention(attention),
            attention_output: parameters.stacked_linear(output, queries, biases.attention)?,
            attention_residual: add_norm(names.attention_norm)?,
            feed_forward_norm: None,
            feed_forward,
            feed_forward_residual: add_norm(names.output_norm)?,
            per_layer_input: None,
        })
    }

    fn feed_forward<O: Ops>(&self, parameters: &Parameters<'_, O>) -> Result<FeedForward<O>> {
        let Self { shape, biases, .. } = *self;
        let names = &self.names.layer;
        let (hidden, middle) = (shape.hidden_size, shape.intermediate_size);
        let (up, gated) = match names.up {
            Up::Plain(name) => (parameters.stacked_linear(&[(name, middle)], hidden, biases.up)?, false),
            Up::Gated { gate, up } => {
                (parameters.stacked_linear(&[(gate, middle), (up, middle)], hidden, biases.up)?, true)
            }
            Up::Together(name) => {
                (parameters.stacked_linear(&[(name, middle.saturating_mul(2))], hidden, biases.up)?, true)
            }
            Up::Swapped(name) => (parameters.swapped_linear(name, hidden, middle)?, true),
        };
        Ok(FeedForward {
            up,
            gated,
            activation: shape.activation,
            down: parameters.stacked_linear(&[(names.down, hidden)], middle, biases.down)?,
        })
    }
}
