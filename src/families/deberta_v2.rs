//! DeBERTa v2 and v3 (He et al., 2021): BERT with disentangled attention, whose scores depend on vectors of the distance
//! from query to key.

use std::sync::Arc;

use serde::Deserialize;

use super::bert::WORDS;
use crate::config::{Activation, JsonFile, truthy};
use crate::error::Result;
use crate::layers::embeddings::{Embeddings, PositionRule};
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{Biases, EncoderShape, LayerNames, Projections, Up, layer};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Lookup, Ops, PositionColumns, Relative};
use crate::weights::Weights;

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
    type_vocab_size: usize,
    layer_norm_eps: f64,
    relative_attention: bool,
    max_relative_positions: i64,
    position_buckets: i64,
    position_biased_input: bool,
    pos_att_type: Option<PositionTypes>,
    #[serde(deserialize_with = "truthy")]
    share_att_key: bool,
    norm_rel_ebd: String,
}

/// A list, or its items with `|` between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum PositionTypes {
    List(Vec<String>),
    Joined(String),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 128_100,
            hidden_size: 1536,
            num_hidden_layers: 24,
            num_attention_heads: 24,
            intermediate_size: 6144,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 0,
            layer_norm_eps: 1e-7,
            relative_attention: false,
            max_relative_positions: -1,
            position_buckets: -1,
            position_biased_input: true,
            pos_att_type: None,
            share_att_key: false,
            norm_rel_ebd: "none".to_owned(),
        }
    }
}

const NAMES: LayerNames = LayerNames {
    query_key_value: Projections::Apart([QUERY, KEY, "attention.self.value_proj"]),
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: Up::Plain("intermediate.dense"),
    down: "output.dense",
    output_norm: "output.LayerNorm",
};
const QUERY: &str = "attention.self.query_proj";
const KEY: &str = "attention.self.key_proj";

/// `model_type` deberta-v2.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
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
    let positions = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "num_attention_heads")?);
    file.only("conv_kernel_size", 0)?;
    file.only("embedding_size", hidden_size)?;
    file.only("attention_head_size", head_width)?;
    let distances = Distances::read(file, &config)?;

    let weights = weights.behind("deberta", WORDS);
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let types = Some(config.type_vocab_size).filter(|types| *types > 0);
    let token_types = types.map(|types| tables.table("token_type_embeddings", types, hidden_size)).transpose()?;
    let places = || tables.table("position_embeddings", positions, hidden_size);
    let places = config.position_biased_input.then(places).transpose()?;
    let embeddings = Embeddings {
        token_types,
        positions: places.map(|table| (table, PositionRule::FromZero)),
        norm: Some(tables.layer_norm("LayerNorm", hidden_size, shape.eps)?),
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, hidden_size)?)
    };
    let own = parameters.at("encoder");
    let vectors = match &distances.columns {
        Some(_) => Some(distances.vectors(&own, hidden_size, shape.eps)?),
        None => None,
    };
    let layers = own.at("layer");
    let encoder = Encoder::load(shape.layers, |i| {
        let parameters = layers.at(&i.to_string());
        let relative = match &vectors {
            Some(vectors) => distances.of_layer(&parameters, vectors, hidden_size, head_width)?,
            None => Relative::None,
        };
        let attention = Attention {
            scale: 1.0 / (head_width as f32 * distances.terms() as f32).sqrt(),
            relative,
            ..Attention::full(shape.heads, head_width)
        };
        layer(&parameters, &shape, &NAMES, Biases::ALL, attention)
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: types,
        max_tokens: config.position_biased_input.then_some(positions),
        max_position_embeddings: Some(positions),
    };
    Ok(Backbone { embeddings, encoder, limits })
}

/// What attention makes of distances.
struct Distances {
    /// Scores of content with position: queries' with keys that stand for a distance.
    content_to_position: bool,
    /// Scores of position with content.
    position_to_content: bool,
    /// Whether a layer's own projections make keys and queries of distances too.
    shared: bool,
    normalized: bool,
    /// Vectors of distances there are for one direction.
    span: usize,
    /// Which vector stands for a distance, where any does.
    columns: Option<Arc<PositionColumns>>,
}

impl Distances {
    fn read(file: &JsonFile, config: &Config) -> Result<Self> {
        let types: Vec<String> = match &config.pos_att_type {
            None => Vec::new(),
            Some(PositionTypes::List(types)) => types.clone(),
            Some(PositionTypes::Joined(types)) => {
                types.to_lowercase().split('|').map(|t| t.trim().to_owned()).collect()
            }
        };
        if let Some(other) = types.iter().find(|name| !["c2p", "p2c", ""].contains(&name.as_str())) {
            return Err(file.unsupported("pos_att_type", other, "c2p, p2c"));
        }
        let norms: Vec<_> = config.norm_rel_ebd.split('|').map(|name| name.trim().to_lowercase()).collect();
        if let Some(other) = norms.iter().find(|name| !["layer_norm", "none"].contains(&name.as_str())) {
            return Err(file.unsupported("norm_rel_ebd", other, "layer_norm, none"));
        }
        let has = |name: &str| types.iter().any(|other| other == name);
        let (span, columns) = if config.relative_attention { spread(file, config)? } else { (0, None) };
        Ok(Self {
            content_to_position: has("c2p"),
            position_to_content: has("p2c"),
            shared: config.share_att_key,
            normalized: norms.iter().any(|name| name == "layer_norm"),
            span,
            columns: columns.filter(|_| has("c2p") || has("p2c")),
        })
    }

    /// Products that are summed up to a score.
    fn terms(&self) -> usize {
        1 + usize::from(self.content_to_position) + usize::from(self.position_to_content)
    }

    /// The vectors of distances, `(2 * span, hidden)`.
    fn vectors<O: Ops>(&self, parameters: &Parameters<'_, O>, hidden: usize, eps: f32) -> Result<O::Tensor> {
        let table = parameters.table("rel_embeddings", 2 * self.span, hidden)?;
        let norm = self.normalized.then(|| parameters.layer_norm("LayerNorm", hidden, eps)).transpose()?;
        let all: Vec<u32> = (0..2 * self.span as u32).collect();
        parameters.ops.embed(&[Lookup { table: &table, entries: &all }], norm.as_ref())
    }

    /// The keys and queries that a layer makes of them.
    fn of_layer<O: Ops>(
        &self,
        parameters: &Parameters<'_, O>,
        vectors: &O::Tensor,
        hidden: usize,
        head_width: usize,
    ) -> Result<Relative<O>> {
        let project = |own: &str, shared: &str| {
            let name = if self.shared { shared } else { own };
            parameters.ops.linear(vectors, &parameters.linear(name, hidden, hidden)?, Activation::Identity)
        };
        let keys = self.content_to_position.then(|| project("attention.self.pos_key_proj", KEY)).transpose()?;
        let queries = self.position_to_content.then(|| project("attention.self.pos_query_proj", QUERY)).transpose()?;
        let columns = self.columns.clone().unwrap_or_default();
        Ok(Relative::Disentangled(parameters.ops.positions(keys.as_ref(), queries.as_ref(), head_width, columns)?))
    }
}

/// How many vectors there are for each direction, and which stands for a distance: one a distance, or, with buckets, one a
/// distance for the near half of them, and for the far half in logarithmic steps.
fn spread(file: &JsonFile, config: &Config) -> Result<(usize, Option<Arc<PositionColumns>>)> {
    /// A limit, so that no config asks for more memory than its tensors have.
    const MOST: usize = 1 << 20;
    let configured = usize::try_from(config.max_relative_positions).ok().filter(|positions| *positions > 0);
    let (key, most) = match configured {
        Some(positions) => ("max_relative_positions", positions),
        None => ("max_position_embeddings", config.max_position_embeddings),
    };
    if most > MOST {
        return Err(file.error(key, format!("must be at most {MOST}, got {most}")));
    }
    let buckets = usize::try_from(config.position_buckets).ok().filter(|buckets| *buckets > 0);
    if let Some(buckets) = buckets.filter(|buckets| !buckets.is_multiple_of(2) || buckets / 2 + 1 >= most) {
        let problem = format!("must be even, and its half less than {} - 1, {}, got {buckets}", key, most - 1);
        return Err(file.error("position_buckets", problem));
    }
    let span = buckets.unwrap_or(most);
    // In the order of key - query, so the vectors of great distances from the key to the query come first.
    let column = |ahead: i64| {
        let behind = -ahead;
        let place = buckets.map_or(behind, |buckets| bucket(behind, buckets, most));
        (place + span as i64).clamp(0, 2 * span as i64 - 1) as u32
    };
    let columns = (-(most as i64)..=most as i64).map(column).collect();
    Ok((span, Some(Arc::new(PositionColumns { columns, longest: most + 1 }))))
}

/// The bucket of a distance `query - key`.
fn bucket(distance: i64, buckets: usize, most: usize) -> i64 {
    let near = (buckets / 2) as i64;
    if distance.abs() <= near {
        return distance;
    }
    // In float32 and in this order, as the reference does, since it is rounded up.
    let steps = (distance.abs() as f32 / near as f32).ln() / (((most - 1) as f64 / near as f64) as f32).ln();
    ((steps * (near - 1) as f32).ceil() as i64 + near) * distance.signum()
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn far_distances_share_buckets() {
        let of = |distances: &[i64]| distances.iter().map(|d| bucket(*d, 16, 140)).collect::<Vec<_>>();
        assert_eq!(of(&[0, 1, 8, -8, 9, 12, -12, 139, 140, -140]), [0, 1, 8, -8, 9, 9, -9, 15, 16, -16]);
    }
}
