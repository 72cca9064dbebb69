//! EuroBERT (Boizard et al., 2025): Llama's layers, whose queries see the whole text.

use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, Norms};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const EUROBERT: Family = Family {
    model_type: "eurobert",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::Same(&["EuroBertConfig", "EuroBertModel"]),
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let hidden_size = file.size("hidden_size", 768)?;
    let heads = AttentionHeads::of(file, "num_attention_heads", 12, hidden_size)?;
    let attention_bias = file.get("attention_bias", false)?;
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 128_256)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 12)?,
        heads: AttentionHeads { width: file.get("head_dim", None)?.unwrap_or(heads.width), ..heads },
        key_value_heads: file.get("num_key_value_heads", None)?.unwrap_or(heads.count),
        intermediate_size: file.size("intermediate_size", 3072)?,
        activation: file.activation("hidden_act", "silu")?,
        query_key_value_bias: attention_bias,
        attention_output_bias: attention_bias,
        feed_forward_bias: file.get("mlp_bias", false)?,
        max_position_embeddings: file.size("max_position_embeddings", 8192)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-5)?, offset: 0.0 },
    };
    shape.checked(file)
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;
    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load(&Parameters::new(&weights, ops), |_, layer| {
        shape.layer(layer, "post_attention_layernorm", shape.attention(&rotary))
    })
}
