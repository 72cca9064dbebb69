//! Llama (Touvron et al., 2023): causal layers with rotary positions, RMS norms and a gated feed-forward block.

use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, Norms, Sight};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const LLAMA: Family = Family {
    model_type: "llama",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
pub(super) fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let hidden_size = file.size("hidden_size", 4096)?;
    let heads = AttentionHeads::of(file, "num_attention_heads", 32, hidden_size)?;
    let attention_bias = file.get("attention_bias", false)?;
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 32_000)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 32)?,
        heads: AttentionHeads { width: file.get("head_dim", None)?.unwrap_or(heads.width), ..heads },
        key_value_heads: file.get("num_key_value_heads", None)?.unwrap_or(heads.count),
        intermediate_size: file.size("intermediate_size", 11_008)?,
        activation: file.activation("hidden_act", "silu")?,
        query_key_value_bias: attention_bias,
        attention_output_bias: attention_bias,
        feed_forward_bias: file.get("mlp_bias", false)?,
        max_position_embeddings: file.size("max_position_embeddings", 2048)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-6)?, offset: 0.0 },
    };
    shape.checked(file)
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let window = Sight::read(file)?.window();
    let rope = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?;
    let (rotary, max_tokens) = rope.rotary_within_limit()?;

    let weights = weights.behind("model", "embed_tokens.weight");
    let backbone = shape.load(&Parameters::new(&weights, ops), |_, layer| {
        let attention = Attention { window, ..shape.attention(&rotary) };
        shape.layer(layer, "post_attention_layernorm", attention)
    })?;
    Ok(Backbone { limits: Limits { max_tokens, ..backbone.limits }, ..backbone })
}
