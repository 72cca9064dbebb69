//! The layer of BERT and its descendants: a norm after each residual (Devlin et al., 2019).

use super::Parameters;
use super::encoder::Layer;
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::ops::{Attention, FeedForward, Ops, Residual};
use crate::weights::Weights;

/// The sizes of an encoder.
pub(crate) struct EncoderShape {
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) hidden_size: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) activation: Activation,
    pub(crate) eps: f32,
}

impl EncoderShape {
    /// Columns of a head; the config names the keys in a message.
    pub(crate) fn head_width(&self, config: &JsonFile, heads_key: &str) -> Result<usize> {
        if self.heads == 0 || !self.hidden_size.is_multiple_of(self.heads) {
            let problem = format!("must divide the hidden size, {}, got {}", self.hidden_size, self.heads);
            return Err(config.error(heads_key, problem));
        }
        Ok(self.hidden_size / self.heads)
    }
}

/// What a family calls the parts of a layer.
pub(crate) struct LayerNames {
    pub(crate) query_key_value: Projections,
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) up: Up,
    pub(crate) down: &'static str,
    pub(crate) output_norm: &'static str,
}

/// What a checkpoint calls its parts, where a family has more than one way.
pub(crate) struct Spelling {
    pub(crate) layers: &'static str,
    pub(crate) embedding_norm: &'static str,
    pub(crate) layer: LayerNames,
}

impl Spelling {
    /// That of transformers' own classes, where a family's checkpoints are older than those. It saves by the older names,
    /// unless it is told not to.
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

    /// The one that the weights are in; the first where they are in none, for messages.
    pub(crate) fn of<'a>([first, second]: &'a [Self; 2], weights: &Weights) -> &'a Self {
        let norm = format!("{}.0.{}.weight", second.layers, second.layer.attention_norm);
        if weights.has(&norm) { second } else { first }
    }
}

/// Queries, keys and values.
pub(crate) enum Projections {
    /// Linear layers of their own.
    Apart([&'static str; 3]),
    /// One linear layer, in that order.
    Together(&'static str),
}

/// The first linear layers of a feed-forward block. What is activated is called the gate.
pub(crate) enum Up {
    Plain(&'static str),
    Gated {
        gate: &'static str,
        up: &'static str,
    },
    /// One linear layer, the gate behind what it is multiplied by.
    Swapped(&'static str),
}

/// Which linear layers have biases.
#[derive(Clone, Copy)]
pub(crate) struct Biases {
    pub(crate) attention: bool,
    pub(crate) up: bool,
    pub(crate) down: bool,
}

impl Biases {
    pub(crate) const ALL: Self = Self { attention: true, up: true, down: true };
}

/// Loads a layer.
pub(crate) fn layer<O: Ops>(
    parameters: &Parameters<'_, O>,
    shape: &EncoderShape,
    names: &LayerNames,
    biases: Biases,
    attention: Attention<O>,
) -> Result<Layer<O>> {
    let (hidden, middle) = (shape.hidden_size, shape.intermediate_size);
    let [queries, keys, values] = attention.widths();
    let query_key_value = match names.query_key_value {
        Projections::Apart([q, k, v]) => vec![(q, queries), (k, keys), (v, values)],
        Projections::Together(name) => vec![(name, queries.saturating_add(keys).saturating_add(values))],
    };
    let (up, gated) = match names.up {
        Up::Plain(name) => (parameters.stacked_linear(&[(name, middle)], hidden, biases.up)?, false),
        Up::Gated { gate, up } => {
            (parameters.stacked_linear(&[(gate, middle), (up, middle)], hidden, biases.up)?, true)
        }
        Up::Swapped(name) => (parameters.swapped_linear(name, hidden, middle)?, true),
    };
    Ok(Layer {
        attention_norm: None,
        query_key_value: parameters.stacked_linear(&query_key_value, hidden, biases.attention)?,
        attention,
        attention_output: parameters.stacked_linear(&[(names.attention_output, hidden)], queries, biases.attention)?,
        attention_residual: Residual::AddNorm(parameters.layer_norm(names.attention_norm, hidden, shape.eps)?),
        feed_forward_norm: None,
        feed_forward: FeedForward {
            up,
            gated,
            activation: shape.activation,
            down: parameters.stacked_linear(&[(names.down, hidden)], middle, biases.down)?,
        },
        feed_forward_residual: Residual::AddNorm(parameters.layer_norm(names.output_norm, hidden, shape.eps)?),
    })
}
