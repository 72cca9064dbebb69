//! Mistral (Jiang et al., 2023): Llama's layers, with a sliding window in all of them.

use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, Norms, Sight};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const MISTRAL: Family = Family {
    model_type: "mistral",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    // transformers distrusts the class that these folders declare.
    tokenizer: DefaultClass::Always(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let hidden_size = file.size("hidden_size", 4096)?;
    let heads = AttentionHeads::with_head_dim(file, 32, None, hidden_size)?;
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 32_000)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 32)?,
        heads,
        key_value_heads: file.get("num_key_value_heads", Some(8))?.unwrap_or(heads.count),
        intermediate_size: file.size("intermediate_size", 14_336)?,
        activation: file.activation("hidden_act", "silu")?,
        query_key_value_bias: false,
        attention_output_bias: false,
        feed_forward_bias: false,
        max_position_embeddings: file.size("max_position_embeddings", 4096 * 32)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-6)?, offset: 0.0 },
    };
    shape.checked(file)
}

/// Returns the keys that queries of all layers see.
pub(super) fn window(file: &JsonFile, default_sliding: Option<usize>) -> Result<Window> {
    let key = "sliding_window";
    let sight = Sight::read(file)?;
    match file.get(key, default_sliding)? {
        Some(width) => sight.sliding_window(file, key, width),
        None => Ok(sight.window()),
    }
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let window = window(file, Some(4096))?;
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;

    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load(&Parameters::new(&weights, ops), |_, layer| {
        let attention = Attention { window, ..shape.attention(&rotary) };
        shape.layer(layer, "post_attention_layernorm", attention)
    })
}
