//! ALBERT (Lan et al., 2020): BERT with embeddings narrower than its layers, and with layers that share weights.

use std::sync::Arc;

use super::bert::WORDS;
use super::heads::{ClassificationHead, MaskedLmHead, OutputBias, TransformLayer};
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::embeddings::PositionRule;
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{CheckpointNames, EncoderShape, Factorized, LayerNames, PostNorm, Projections, Up};
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::threads::place::load_parts;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const ALBERT: Family = Family {
    model_type: "albert",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("albert.pooler", Activation::Tanh, "classifier"))),
    masked_lm: Some(|file| {
        let shape = shape(file)?;
        Ok(MaskedLmHead {
            transform: TransformLayer::new("predictions.dense", shape.activation)
                .with_norm("predictions.LayerNorm", shape.eps),
            width: embedding_size(file)?,
            words: "albert.embeddings.word_embeddings",
            output: "predictions.decoder",
            bias: OutputBias::Own("predictions.bias"),
        })
    }),
    tokenizer: DefaultClass::Undeclared(&class::ALBERT),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 4096)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 30_000)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 12)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 64, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 16_384)?,
        activation: file.activation("hidden_act", "gelu_new")?,
        max_position_embeddings: file.size("max_position_embeddings", 512)?,
        eps: file.eps("layer_norm_eps", 1e-12)?,
    })
}

fn embedding_size(file: &JsonFile) -> Result<usize> {
    file.size("embedding_size", 128)
}

const NAMES: CheckpointNames = CheckpointNames {
    layers: "encoder.albert_layer_groups",
    embedding_norm: "embeddings.LayerNorm",
    layer: LayerNames {
        query_key_value: Projections::Apart(["attention.query", "attention.key", "attention.value"]),
        attention_output: "attention.dense",
        attention_norm: "attention.LayerNorm",
        up: Up::Plain("ffn"),
        down: "ffn_output",
        output_norm: "full_layer_layer_norm",
    },
};

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("position_embedding_type", "absolute")?;
    let shape = shape(file)?;
    let projection = Some("encoder.embedding_hidden_mapping_in");
    let transformer = PostNorm {
        token_types: Some(file.size("type_vocab_size", 2)?),
        positions: Some(PositionRule::FromZero),
        factorized: Some(Factorized { width: embedding_size(file)?, projection }),
        ..PostNorm::new(&shape, &NAMES)
    };
    let limits = transformer.limits(file)?;
    let inner = file.size("inner_group_num", 1)?;
    let order = order(file, shape.layers, inner)?;

    let weights = weights.behind("albert", WORDS);
    let parameters = Parameters::new(&weights, ops);
    let embeddings = transformer.embeddings(&parameters)?;
    let groups = parameters.at(NAMES.layers);
    let distinct = load_parts(order.iter().max().map_or(0, |last| last + 1), |i| {
        let layers = groups.at(&(i / inner).to_string()).at("albert_layers");
        Ok(Arc::new(transformer.layer(&layers.at(&(i % inner).to_string()), shape.heads.attention())?))
    })?;
    let encoder = Encoder::new(order.into_iter().map(|i| Arc::clone(&distinct[i])).collect());
    Ok(Backbone { embeddings, encoder, limits })
}

/// Returns the sequence of indices of distinct layers. The groups follow each other, each for the same number of
/// `turns`. A turn runs the `inner` layers of its group.
fn order(file: &JsonFile, turns: usize, inner: usize) -> Result<Vec<usize>> {
    /// Maximum length of the sequence. Known models have less.
    const MAX_LAYERS: usize = 1000;
    let key = "num_hidden_groups";
    let groups: usize = file.get(key, 1)?;
    if groups == 0 || groups > turns {
        return Err(file.error(key, format!("must be from 1 to num_hidden_layers, {turns}, got {groups}")));
    }
    if turns.saturating_mul(inner) > MAX_LAYERS {
        let problem = format!("must be at most {MAX_LAYERS} with inner_group_num, {inner}, got {turns}");
        return Err(file.error("num_hidden_layers", problem));
    }
    // Divided in the reference's order, so that rounding is the same.
    let group = |turn: usize| (turn as f64 / (turns as f64 / groups as f64)) as usize;
    Ok((0..turns).flat_map(|turn| (0..inner).map(move |i| group(turn) * inner + i)).collect())
}
