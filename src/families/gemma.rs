//! Gemma (Gemma Team, 2024): Llama's layers, with scaled embeddings, wide heads and GELU.

use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, Norms, Sight};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const GEMMA: Family = Family {
    model_type: "gemma",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GEMMA),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let attention_bias = file.get("attention_bias", false)?;
    let heads = AttentionHeads { count: file.size("num_attention_heads", 16)?, width: file.get("head_dim", 256)? };
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 256_000)?,
        hidden_size: file.size("hidden_size", 3072)?,
        layers: file.size("num_hidden_layers", 28)?,
        heads,
        key_value_heads: file.get("num_key_value_heads", 16)?,
        intermediate_size: file.size("intermediate_size", 24_576)?,
        activation: activation(file)?,
        query_key_value_bias: attention_bias,
        attention_output_bias: attention_bias,
        feed_forward_bias: false,
        max_position_embeddings: file.size("max_position_embeddings", 8192)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-6)?, offset: 1.0 },
    };
    shape.checked(file)
}

/// Reads the activation. Google's files say gelu, but the models were trained with its approximation.
fn activation(file: &JsonFile) -> Result<Activation> {
    Ok(match file.activation("hidden_act", "gelu_pytorch_tanh")? {
        Activation::Gelu => Activation::GeluTanh,
        other => other,
    })
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let window = Sight::read(file)?.window();
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;

    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load_scaled(&Parameters::new(&weights, ops), |_, layer| {
        let attention = Attention { window, ..shape.attention(&rotary) };
        shape.layer(layer, "post_attention_layernorm", attention)
    })
}
