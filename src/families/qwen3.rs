//! Qwen3 (Yang et al., 2025): Llama's causal layers, with norms of every head's queries and keys.

use super::heads::{ClassificationHead, Summary};
use super::{Family, Load, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, LayerType, LayerTypes, Norms};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const QWEN3: Family = Family {
    model_type: "qwen3",
    load: Load { cpu: load, portable: load },
    classifier: Some(|_| {
        Ok(ClassificationHead { summary: Summary::Last, transform: None, output: "score", output_bias: false })
    }),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::QWEN2),
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let heads = AttentionHeads { count: file.size("num_attention_heads", 32)?, width: file.get("head_dim", 128)? };
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 151_936)?,
        hidden_size: file.size("hidden_size", 4096)?,
        layers: file.size("num_hidden_layers", 32)?,
        heads,
        key_value_heads: file.get("num_key_value_heads", Some(32))?.unwrap_or(heads.count),
        intermediate_size: file.size("intermediate_size", 22_016)?,
        activation: file.activation("hidden_act", "silu")?,
        attention_bias: file.get("attention_bias", false)?,
        feed_forward_bias: false,
        max_position_embeddings: file.size("max_position_embeddings", 32_768)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-6)?, offset: 0.0 },
    };
    shape.checked(file)
}

/// Keys that each layer's queries see.
struct Windows {
    types: LayerTypes,
    /// Width of sliding windows, where they are in use.
    sliding: Option<usize>,
    /// Layers before the first sliding window, unless all are listed.
    full_layers: usize,
}

impl Windows {
    const SLIDING: &'static str = "sliding_window";

    fn read(file: &JsonFile, layers: usize) -> Result<Self> {
        let (sliding, used) = (file.get(Self::SLIDING, Some(4096))?, file.get("use_sliding_window", false)?);
        Ok(Self {
            types: LayerTypes::read(file, layers)?,
            sliding: sliding.filter(|_| used),
            full_layers: file.get("max_window_layers", 28)?,
        })
    }

    fn of(&self, file: &JsonFile, layer: usize) -> Result<Window> {
        let by_number = || match self.sliding {
            Some(_) if layer >= self.full_layers => LayerType::SlidingAttention,
            _ => LayerType::FullAttention,
        };
        match (self.types.of(layer, by_number), self.sliding) {
            (LayerType::FullAttention, _) => Ok(Window::CAUSAL),
            // The query's own position is one of the window's.
            (LayerType::SlidingAttention, Some(width)) => {
                Ok(Window { before: file.positive(Self::SLIDING, width)? - 1, after: 0 })
            }
            (LayerType::SlidingAttention, None) => {
                Err(file.error("layer_types", "lists sliding_attention, but there is no sliding_window in use"))
            }
        }
    }
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("is_causal", true)?;
    let shape = shape(file)?;
    let windows = Windows::read(file, shape.layers)?;
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;

    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load(&Parameters::new(&weights, ops), |i, layer| {
        let attention = Attention {
            window: windows.of(file, i)?,
            query_key_norms: Some(shape.query_key_norms(layer)?),
            ..shape.attention(&rotary)
        };
        shape.layer(layer, "post_attention_layernorm", attention)
    })
}
