//! Qwen2 (Yang et al., 2024): Llama's causal layers, with biases of queries, keys and values. GTE's models look both ways.

use super::heads::ClassificationHead;
use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, Norms, QwenWindows, Sight};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const QWEN2: Family = Family {
    model_type: "qwen2",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::last("score"))),
    masked_lm: None,
    tokenizer: DefaultClass::Always(&class::QWEN2),
    images: None,
    remote_code: RemoteCode::None,
};

/// The code of gte-Qwen2-1.5B-instruct and its sisters, which never looks at `is_causal`.
pub(super) const GTE_QWEN2: Family = Family {
    load: load_by!(load_both_ways),
    classifier: None,
    images: None,
    remote_code: RemoteCode::Other(&["modeling_qwen.Qwen2Model"]),
    ..QWEN2
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let hidden_size = file.size("hidden_size", 4096)?;
    let heads = AttentionHeads::of(file, "num_attention_heads", 32, hidden_size)?;
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 151_936)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 32)?,
        heads: AttentionHeads { width: file.get("head_dim", None)?.unwrap_or(heads.width), ..heads },
        key_value_heads: file.get("num_key_value_heads", Some(32))?.unwrap_or(heads.count),
        intermediate_size: file.size("intermediate_size", 22_016)?,
        activation: file.activation("hidden_act", "silu")?,
        query_key_value_bias: true,
        attention_output_bias: false,
        feed_forward_bias: false,
        max_position_embeddings: file.size("max_position_embeddings", 32_768)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-6)?, offset: 0.0 },
    };
    shape.checked(file)
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    load_with(file, &weights, ops, Sight::read(file)?)
}

fn load_both_ways<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    load_with(file, &weights, ops, Sight::BothWays)
}

fn load_with<O: Ops>(file: &JsonFile, weights: &Weights, ops: &O, sight: Sight) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let windows = QwenWindows::read(file, shape.layers, sight)?;
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;

    let weights = weights.clone().behind("model", "embed_tokens.weight");
    shape.load(&Parameters::new(&weights, ops), |i, layer| {
        let attention = Attention { window: windows.of(file, i)?, ..shape.attention(&rotary) };
        shape.layer(layer, "post_attention_layernorm", attention)
    })
}
