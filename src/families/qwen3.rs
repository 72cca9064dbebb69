//! Qwen3 (Yang et al., 2025): Llama's causal layers, with norms of every head's queries and keys. Published code makes it look
//! both ways.

use super::heads::ClassificationHead;
use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, Norms, QwenWindows, Sight};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const QWEN3: Family = Family {
    model_type: "qwen3",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::last("score"))),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::QWEN2),
    images: None,
    remote_code: RemoteCode::None,
};

/// Perplexity's code, in pplx-embed-v1-0.6b and its sisters.
pub(super) const PPLX_QWEN3: Family = Family {
    model_type: "bidirectional_pplx_qwen3",
    load: load_by!(load_both_ways),
    classifier: None,
    images: None,
    remote_code: RemoteCode::Same(&["PPLXQwen3Config", "PPLXQwen3Model"]),
    ..QWEN3
};

/// Voyage's code, in voyage-4-nano, which adds a linear layer.
pub(super) const VOYAGE_QWEN3: Family = Family {
    load: load_by!(load_voyage),
    classifier: None,
    images: None,
    remote_code: RemoteCode::Other(&["Qwen3BidirectionalForTextEmbedding"]),
    ..QWEN3
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let heads = AttentionHeads { count: file.size("num_attention_heads", 32)?, width: file.get("head_dim", 128)? };
    let attention_bias = file.get("attention_bias", false)?;
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 151_936)?,
        hidden_size: file.size("hidden_size", 4096)?,
        layers: file.size("num_hidden_layers", 32)?,
        heads,
        key_value_heads: file.get("num_key_value_heads", Some(32))?.unwrap_or(heads.count),
        intermediate_size: file.size("intermediate_size", 22_016)?,
        activation: file.activation("hidden_act", "silu")?,
        query_key_value_bias: attention_bias,
        attention_output_bias: attention_bias,
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

fn load_voyage<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let Backbone { embeddings, encoder, limits } = load_both_ways(file, weights.clone(), ops)?;
    let width = file.positive("num_labels", file.required("num_labels")?)?;
    let linear = Parameters::new(&weights, ops).linear_without_bias("linear", limits.hidden_size, width)?;
    Ok(Backbone {
        embeddings,
        encoder: encoder.with_projection(linear),
        limits: Limits { hidden_size: width, ..limits },
    })
}

fn load_with<O: Ops>(file: &JsonFile, weights: &Weights, ops: &O, sight: Sight) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let windows = QwenWindows::read(file, shape.layers, sight)?;
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;

    let weights = weights.clone().behind("model", "embed_tokens.weight");
    shape.load(&Parameters::new(&weights, ops), |i, layer| {
        let attention = Attention {
            window: windows.of(file, i)?,
            query_key_norms: Some(shape.query_key_norms(layer)?),
            ..shape.attention(&rotary)
        };
        shape.layer(layer, "post_attention_layernorm", attention)
    })
}
