//! MPNet (Song et al., 2020): BERT without token types, with biases on the attention scores by bucketed distance, which
//! all layers share.

use serde::Deserialize;

use super::bert::{positions_after_padding, room_after_padding};
use super::encoder::{Encoder, EncoderShape, LayerNames};
use super::{Backbone, Checkpoint, Limits, Parameters};
use crate::batch::Batch;
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::ops::{Lookup, Ops, Queries};
use crate::weights::{Array, Weights};

/// `config.json`; what is absent is as in transformers' class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    layer_norm_eps: f64,
    relative_attention_num_buckets: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 30_527,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            layer_norm_eps: 1e-12,
            relative_attention_num_buckets: 32,
        }
    }
}

/// Where positions begin is not configured.
const PAD: u32 = 1;
/// The distance from which on all share the last bucket.
const MAX_DISTANCE: f32 = 128.0;

struct Mpnet<O: Ops> {
    words: O::Table,
    positions: O::Table,
    norm: O::Norm,
    encoder: Encoder<O>,
    limits: Limits,
}

const NAMES: LayerNames = LayerNames {
    query_key_value: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// `model_type` mpnet.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Box<dyn Backbone<O>>> {
    let config: Config = file.parse()?;
    let shape = EncoderShape {
        layers: file.positive("num_hidden_layers", config.num_hidden_layers)?,
        heads: config.num_attention_heads,
        hidden_size: file.positive("hidden_size", config.hidden_size)?,
        intermediate_size: file.positive("intermediate_size", config.intermediate_size)?,
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        eps: file.eps("layer_norm_eps", config.layer_norm_eps)?,
    };
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "num_attention_heads")?);
    let max_tokens = room_after_padding(file, config.max_position_embeddings, PAD)?;
    let buckets = config.relative_attention_num_buckets;
    if buckets < 4 || !buckets.is_multiple_of(4) {
        let problem = format!("must be a multiple of 4, got {buckets}");
        return Err(file.error("relative_attention_num_buckets", problem));
    }

    let weights = weights.behind("mpnet", "embeddings.word_embeddings.weight");
    let parameters = Parameters::new(&weights, ops);
    let embeddings = parameters.at("embeddings");
    let positions = embeddings.table("position_embeddings", config.max_position_embeddings, hidden_size)?;
    let by_bucket = parameters.array("encoder.relative_attention_bias.weight", &[buckets, shape.heads])?;
    let bias = ops.distance_bias(biases_by_distance(by_bucket.as_slice(), buckets, shape.heads, max_tokens))?;
    Ok(Box::new(Mpnet {
        words: embeddings.table("word_embeddings", vocab_size, hidden_size)?,
        positions,
        norm: embeddings.norm("LayerNorm", hidden_size, shape.eps)?,
        encoder: Encoder::load(&parameters.at("encoder.layer"), &shape, &NAMES, head_width, Some(bias))?,
        limits: Limits {
            hidden_size,
            vocab_size,
            type_vocab_size: None,
            max_tokens: Some(max_tokens),
            max_position_embeddings: Some(config.max_position_embeddings),
        },
    }))
}

/// `(buckets, heads)` spread over all distances: `(heads, 2 * longest - 1)`, that from query `q` to key `k` at column
/// `k - q + longest - 1`.
fn biases_by_distance(by_bucket: &[f32], buckets: usize, heads: usize, longest: usize) -> Array {
    let bucket_of: Vec<usize> =
        (1 - longest as i64..longest as i64).map(|distance| bucket(distance, buckets)).collect();
    let value = |head: usize, bucket: usize| by_bucket[bucket * heads + head];
    let values = (0..heads).flat_map(|head| bucket_of.iter().map(move |bucket| value(head, *bucket))).collect();
    Array::new(vec![heads, bucket_of.len()], values)
}

/// The bucket of a distance `key - query` (Raffel et al., 2020): half of them for keys after the query; of each half, one a
/// distance for the near ones, and for the far ones in logarithmic steps up to [`MAX_DISTANCE`].
fn bucket(distance: i64, buckets: usize) -> usize {
    let half = buckets / 2;
    let side = if distance > 0 { half } else { 0 };
    let distance = distance.unsigned_abs() as usize;
    let near = half / 2;
    if distance < near {
        return side + distance;
    }
    // In float32 and in this order, as the reference does, since it is rounded down.
    let ratio = (distance as f32 / near as f32).ln() / (MAX_DISTANCE / near as f32).ln();
    let far = near + (ratio * (half - near) as f32) as usize;
    side + far.min(half - 1)
}

impl<O: Ops> Backbone<O> for Mpnet<O> {
    fn forward(&self, ops: &O, batch: &Batch, wanted: Queries, checkpoint: &Checkpoint<'_>) -> Result<O::Tensor> {
        let lookups = [
            Lookup { table: &self.words, entries: &batch.input_ids },
            Lookup { table: &self.positions, entries: &positions_after_padding(batch, PAD) },
        ];
        self.encoder.forward(ops, ops.embed(&lookups, &self.norm)?, batch, wanted, checkpoint)
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn distances_fall_into_the_papers_buckets() {
        let of = |distances: &[i64]| distances.iter().map(|d| bucket(*d, 32)).collect::<Vec<_>>();
        assert_eq!(of(&[0, -1, -7, -8, -11, -12, -16, -127, -128, -500]), [0, 1, 7, 8, 8, 9, 10, 15, 15, 15]);
        assert_eq!(of(&[1, 7, 8, 500]), [17, 23, 24, 31]);
    }
}
