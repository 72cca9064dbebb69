//! DeBERTa v2 and v3 (He et al., 2021): BERT with disentangled attention, whose scores depend on vectors of the distance
//! from query to key.

use std::sync::Arc;

use serde::Deserialize;

use super::bert::WORDS;
use super::heads::ClassificationHead;
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile, truthy};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::embeddings::PositionRule;
use crate::layers::post_norm::{CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Lookup, Ops, PositionColumns, Relative};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const DEBERTA_V2: Family = Family {
    model_type: "deberta-v2",
    load: load_by!(load),
    classifier: Some(|file| {
        let activation = file.activation("pooler_hidden_act", "gelu")?;
        Ok(ClassificationHead::first("pooler.dense", activation, "classifier"))
    }),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::DEBERTA_V2),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 1536)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 128_100)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 24)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 24, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 6144)?,
        activation: file.activation("hidden_act", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", 512)?,
        eps: file.eps("layer_norm_eps", 1e-7)?,
    })
}

const QUERY: &str = "attention.self.query_proj";
const KEY: &str = "attention.self.key_proj";

const NAMES: CheckpointNames = CheckpointNames {
    layers: "encoder.layer",
    embedding_norm: "embeddings.LayerNorm",
    layer: LayerNames {
        query_key_value: Projections::Apart([QUERY, KEY, "attention.self.value_proj"]),
        attention_output: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
        up: Up::Plain("intermediate.dense"),
        down: "output.dense",
        output_norm: "output.LayerNorm",
    },
};

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    file.only("conv_kernel_size", 0)?;
    file.only("embedding_size", shape.hidden_size)?;
    file.only("attention_head_size", shape.heads.width)?;
    let distances = Distances::read(file, &shape)?;
    let transformer = PostNorm {
        token_types: Some(file.get("type_vocab_size", 0)?).filter(|types| *types > 0),
        positions: file.get("position_biased_input", true)?.then_some(PositionRule::FromZero),
        ..PostNorm::new(&shape, &NAMES)
    };

    let weights = weights.behind("deberta", WORDS);
    let parameters = Parameters::new(&weights, ops);
    let vectors = distances.vectors(&parameters.at("encoder"), &shape)?;
    let scale = 1.0 / (shape.heads.width as f32 * distances.terms() as f32).sqrt();
    transformer.load(file, &parameters, |layer| {
        let relative = match &vectors {
            Some(vectors) => distances.of_layer(layer, vectors, &shape)?,
            None => Relative::None,
        };
        Ok(Attention { scale, relative, ..shape.heads.attention() })
    })
}

/// Scores that depend on the distance from query to key.
struct Distances {
    /// Scores of queries with keys that stand for a distance.
    content_to_position: bool,
    /// Scores of keys with queries that stand for a distance.
    position_to_content: bool,
    /// A layer's own projections also make the keys and queries of distances.
    shared: bool,
    normalized: bool,
    /// Absent where no score depends on distances.
    table: Option<DistanceTable>,
}

/// A list, or its items with `|` between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Joined(String),
}

impl Names {
    /// Returns the names, each of which must be known.
    fn known(self, file: &JsonFile, key: &str, known: &[&str]) -> Result<Vec<String>> {
        let names = match self {
            Self::List(names) => names,
            Self::Joined(names) => names.to_lowercase().split('|').map(|name| name.trim().to_owned()).collect(),
        };
        match names.iter().find(|name| !name.is_empty() && !known.contains(&name.as_str())) {
            Some(other) => Err(file.unsupported(key, other, &known.join(", "))),
            None => Ok(names),
        }
    }
}

impl Distances {
    fn read(file: &JsonFile, shape: &EncoderShape) -> Result<Self> {
        let (types, norms) = ("pos_att_type", "norm_rel_ebd");
        let named: Option<Names> = file.get(types, None)?;
        let named = named.map_or(Ok(Vec::new()), |names| names.known(file, types, &["c2p", "p2c"]))?;
        let has = |name: &str| named.iter().any(|other| other == name);
        let norm = file.text(norms, "none")?;
        let norm = Names::Joined(norm).known(file, norms, &["layer_norm", "none"])?;
        let table = DistanceTable::read(file, shape)?;
        let (content_to_position, position_to_content) = (has("c2p"), has("p2c"));
        Ok(Self {
            content_to_position,
            position_to_content,
            shared: file.get_with("share_att_key", false, truthy)?,
            normalized: norm.iter().any(|name| name == "layer_norm"),
            table: table.filter(|_| content_to_position || position_to_content),
        })
    }

    /// Products that are summed up to a score.
    fn terms(&self) -> usize {
        1 + usize::from(self.content_to_position) + usize::from(self.position_to_content)
    }

    /// Loads the vectors of distances, `(rows, hidden)`, where any score depends on them.
    fn vectors<O: Ops>(&self, parameters: &Parameters<'_, O>, shape: &EncoderShape) -> Result<Option<O::Tensor>> {
        let Some(DistanceTable { rows, .. }) = self.table else { return Ok(None) };
        let table = parameters.table("rel_embeddings", rows, shape.hidden_size)?;
        let norm = self.normalized.then(|| parameters.layer_norm("LayerNorm", shape.hidden_size, shape.eps));
        let all: Vec<u32> = (0..rows as u32).collect();
        let lookup = Lookup { table: &table, entries: &all };
        parameters.ops.embed(&[lookup], norm.transpose()?.as_ref()).map(Some)
    }

    /// Loads the keys and queries that a layer makes of the vectors.
    fn of_layer<O: Ops>(
        &self,
        parameters: &Parameters<'_, O>,
        vectors: &O::Tensor,
        shape: &EncoderShape,
    ) -> Result<Relative<O>> {
        let hidden = shape.hidden_size;
        let project = |own: &str, shared: &str| {
            let name = if self.shared { shared } else { own };
            parameters.ops.linear(vectors, &parameters.linear(name, hidden, hidden)?, Activation::Identity)
        };
        let keys = self.content_to_position.then(|| project("attention.self.pos_key_proj", KEY)).transpose()?;
        let queries = self.position_to_content.then(|| project("attention.self.pos_query_proj", QUERY)).transpose()?;
        let columns = self.table.as_ref().map(|table| Arc::clone(&table.columns)).unwrap_or_default();
        let positions = parameters.ops.positions(keys.as_ref(), queries.as_ref(), shape.heads.width, columns)?;
        Ok(Relative::Disentangled(positions))
    }
}

/// Table of the vectors of distances. The near half of the distances have a vector each; with buckets, far ones share
/// vectors in logarithmic steps.
struct DistanceTable {
    rows: usize,
    /// Row of each distance.
    columns: Arc<PositionColumns>,
}

impl DistanceTable {
    /// Reads the sizes of the table; absent where attention ignores distances.
    fn read(file: &JsonFile, shape: &EncoderShape) -> Result<Option<Self>> {
        /// A limit, so that no config asks for more memory than its tensors have.
        const LIMIT: usize = 1 << 20;
        let (key, configured) = above_0(file, "max_relative_positions")?;
        let (buckets_key, buckets) = above_0(file, "position_buckets")?;
        if !file.get("relative_attention", false)? {
            return Ok(None);
        }
        let (key, max) =
            configured.map_or(("max_position_embeddings", shape.max_position_embeddings), |max| (key, max));
        if max > LIMIT {
            return Err(file.error(key, format!("must be at most {LIMIT}, got {max}")));
        }
        if let Some(buckets) = buckets.filter(|buckets| !buckets.is_multiple_of(2) || buckets / 2 + 1 >= max) {
            let problem = format!("must be even, and its half less than {key} - 1, {}, got {buckets}", max - 1);
            return Err(file.error(buckets_key, problem));
        }
        let span = buckets.unwrap_or(max);
        // Ordered by key - query, so the vectors of great distances from the key to the query come first.
        let column = |ahead: i64| {
            let behind = -ahead;
            let row = buckets.map_or(behind, |buckets| bucket(behind, buckets, max));
            (row + span as i64).clamp(0, 2 * span as i64 - 1) as u32
        };
        let columns = (-(max as i64)..=max as i64).map(column).collect();
        Ok(Some(Self { rows: 2 * span, columns: Arc::new(PositionColumns { columns, longest: max + 1 }) }))
    }
}

/// Returns the key with its number, if that is above 0. The default is -1.
fn above_0<'a>(file: &JsonFile, key: &'a str) -> Result<(&'a str, Option<usize>)> {
    let number: i64 = file.get(key, -1)?;
    Ok((key, usize::try_from(number).ok().filter(|number| *number > 0)))
}

/// Returns the bucket of a distance `query - key`.
fn bucket(distance: i64, buckets: usize, max: usize) -> i64 {
    let near = (buckets / 2) as i64;
    if distance.abs() <= near {
        return distance;
    }
    // Computed in float32 and in the reference's order, because the result is rounded up.
    let steps = (distance.abs() as f32 / near as f32).ln() / (((max - 1) as f64 / near as f64) as f32).ln();
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
