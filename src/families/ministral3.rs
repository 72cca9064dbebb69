//! Ministral 3 (Mistral AI, 2025): Mistral's layers, whose queries grow with their position.

use serde_json::{Map, Value, json};

use super::mistral::window;
use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, Norms};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops, PositionScale, QueryScale};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const MINISTRAL3: Family = Family {
    model_type: "ministral3",
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
    let heads = AttentionHeads::with_head_dim(file, 32, Some(128), hidden_size)?;
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 131_072)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 34)?,
        heads,
        key_value_heads: file.get("num_key_value_heads", Some(8))?.unwrap_or(heads.count),
        intermediate_size: file.size("intermediate_size", 14_336)?,
        activation: file.activation("hidden_act", "silu")?,
        query_key_value_bias: false,
        attention_output_bias: false,
        feed_forward_bias: false,
        max_position_embeddings: file.size("max_position_embeddings", 262_144)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-5)?, offset: 0.0 },
    };
    shape.checked(file)
}

const ROPE: &str = "rope_parameters";
const OLDER_ROPE: &str = "rope_scaling";

/// Parameters of positions where the config has none.
fn default_rope() -> Map<String, Value> {
    let parameters = json!({
        "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16_384,
        "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
    });
    parameters.as_object().cloned().unwrap_or_default()
}

/// Returns the config with the parameters of rotary positions that all architectures have, and what the others mean.
fn positions(file: &JsonFile) -> Result<(JsonFile, QueryScale)> {
    // Saved models repeat the parameters under their older name.
    if file.value.get(OLDER_ROPE) != file.value.get(ROPE) {
        file.only(OLDER_ROPE, Value::Null)?;
    }
    let mut rope = file.get::<Option<Map<_, _>>>(ROPE, None)?.unwrap_or_else(default_rope);
    let number = |key: &str, value: Option<Value>| {
        let number = value.as_ref().and_then(Value::as_f64).map(|number| number as f32);
        let key = format!("{ROPE}.{key}");
        number.filter(|number| number.is_finite()).ok_or_else(|| file.error(key, "must be a number"))
    };
    let (beta, period) = ("llama_4_scaling_beta", "original_max_position_embeddings");
    let scale =
        PositionScale { beta: number(beta, rope.remove(beta))?, period: number(period, rope.get(period).cloned())? };
    if scale.period < 1.0 {
        return Err(file.error(format!("{ROPE}.{period}"), format!("must be at least 1, got {}", scale.period)));
    }
    // transformers repeats the config's own key here.
    rope.remove("max_position_embeddings");
    let mut config = file.clone();
    config.value[ROPE] = Value::Object(rope);
    config.value[OLDER_ROPE] = Value::Null;
    Ok((config, QueryScale::ByPosition(scale)))
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let window = window(file, None)?;
    let (config, query_scale) = positions(file)?;
    let rotary = Rope::read(&config, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;

    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load(&Parameters::new(&weights, ops), |_, layer| {
        let attention = Attention { window, query_scale: Some(query_scale), ..shape.attention(&rotary) };
        shape.layer(layer, "post_attention_layernorm", attention)
    })
}
