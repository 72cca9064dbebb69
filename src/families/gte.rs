//! GTE (Zhang et al., 2024): BERT with rotary positions and a gated feed-forward block.
//!
//! transformers has a class for it. The published code, which Alibaba's models and Snowflake's name, computes more: other
//! norms, scaled positions, absolute ones, and scores that depend on the length of the text.

use std::sync::Arc;

use super::bert::WORDS;
use super::heads::{ClassificationHead, MaskedLmHead, OutputBias, TransformLayer};
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::embeddings::PositionRule;
use crate::layers::ntk::NtkScaling;
use crate::layers::post_norm::{Biases, CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, LengthScale, Ops, QueryScale, Relative, Rotary};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const GTE: Family = Family {
    model_type: "gte",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("gte.pooler.dense", Activation::Tanh, "classifier"))),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::XLM_ROBERTA),
    images: None,
    remote_code: RemoteCode::None,
};

/// Alibaba's code, in gte-base-en-v1.5 and its sisters, and in stella_en_400M_v5.
pub(super) const NEW: Family = Family {
    model_type: "new",
    load: load_by!(load_published),
    classifier: Some(|_| Ok(ClassificationHead::first("new.pooler.dense", Activation::Tanh, "classifier"))),
    masked_lm: Some(masked_lm),
    tokenizer: DefaultClass::Undeclared(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::Same(&[
        "NewConfig",
        "NewModel",
        "NewForMaskedLM",
        "NewForSequenceClassification",
        "NewForTokenClassification",
    ]),
};

/// Snowflake's copy of that code, in snowflake-arctic-embed-m-v2.0.
pub(super) const SNOWFLAKE_GTE: Family = Family {
    model_type: "gte",
    classifier: None,
    masked_lm: None,
    images: None,
    remote_code: RemoteCode::Other(&["GteConfig", "GteModel"]),
    ..NEW
};

fn masked_lm(file: &JsonFile) -> Result<MaskedLmHead> {
    let shape = shape(file, &PUBLISHED)?;
    Ok(MaskedLmHead {
        transform: TransformLayer::new("lm_head.dense", shape.activation).with_norm("lm_head.norm", shape.eps),
        width: shape.hidden_size,
        words: "new.embeddings.word_embeddings",
        output: "lm_head.decoder",
        bias: OutputBias::OfLayer,
    })
}

/// Values of absent keys.
struct Defaults {
    vocab_size: usize,
    max_position_embeddings: usize,
    rope_theta: f64,
}

/// Defaults of transformers' class.
const NATIVE: Defaults = Defaults { vocab_size: 250_048, max_position_embeddings: 8192, rope_theta: 160_000.0 };
/// Defaults of the published code.
const PUBLISHED: Defaults = Defaults { vocab_size: 30_528, max_position_embeddings: 2048, rope_theta: 10_000.0 };

fn shape(file: &JsonFile, defaults: &Defaults) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 768)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", defaults.vocab_size)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 12)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 12, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 3072)?,
        activation: file.activation("hidden_act", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", defaults.max_position_embeddings)?,
        eps: file.eps("layer_norm_eps", 1e-12)?,
    })
}

const PACKED: CheckpointNames = CheckpointNames {
    layers: "encoder.layer",
    embedding_norm: "embeddings.LayerNorm",
    layer: LayerNames {
        query_key_value: Projections::Together("attention.qkv_proj"),
        attention_output: "attention.o_proj",
        attention_norm: "attn_ln",
        up: Up::Swapped("mlp.up_gate_proj"),
        down: "mlp.down_proj",
        output_norm: "mlp_ln",
    },
};

const APART: CheckpointNames = CheckpointNames {
    layer: LayerNames {
        query_key_value: Projections::Apart(["attention.q_proj", "attention.k_proj", "attention.v_proj"]),
        ..PACKED.layer
    },
    ..PACKED
};

const NAMES: [CheckpointNames; 2] =
    [PACKED, CheckpointNames::of_transformers(Up::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" }, "mlp.down_proj")];

const BIASES: Biases = Biases { up: false, ..Biases::ALL };

/// Reads the rows of the table of token types; some models have none.
fn token_types(file: &JsonFile) -> Result<Option<usize>> {
    Ok(Some(file.get("type_vocab_size", 1)?).filter(|types| *types > 0))
}

/// Loads a model as transformers' class does. Refuses what only the published code computes.
fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("layer_norm_type", "layer_norm")?;
    file.only("position_embedding_type", "rope")?;
    file.only("logn_attention_scale", false)?;
    let shape = shape(file, &NATIVE)?;
    file.only("head_dim", shape.heads.width)?;
    let rope = Rope::read(file, NATIVE.rope_theta, shape.heads.width, shape.max_position_embeddings)?;
    let rotary = rope.rotary()?;

    let weights = weights.behind("new", WORDS).behind("gte", WORDS);
    let names = CheckpointNames::of(&NAMES, &weights);
    let transformer = PostNorm { token_types: token_types(file)?, biases: BIASES, ..PostNorm::new(&shape, names) };
    transformer.load(file, &Parameters::new(&weights, ops), |_| Ok(shape.heads.rotary_attention(&rotary)))
}

/// Loads a model as the published code does.
fn load_published<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file, &PUBLISHED)?;
    let rms_norms = switch(file, "layer_norm_type", ["layer_norm", "rms_norm"])?;
    let absolute = switch(file, "position_embedding_type", ["rope", "absolute"])?;
    let rotary = if absolute { None } else { Some(rotary(file, &shape)?) };
    let query_scale = length_scale(file, &shape)?.map(QueryScale::ByLength);

    let weights = weights.behind("new", WORDS).behind("gte", WORDS);
    let names = match file.get("pack_qkv", true)? {
        true => CheckpointNames::of(&NAMES, &weights),
        false => &APART,
    };
    let transformer = PostNorm {
        token_types: token_types(file)?,
        positions: absolute.then_some(PositionRule::FromZero),
        biases: BIASES,
        rms_norms,
        ..PostNorm::new(&shape, names)
    };
    transformer.load(file, &Parameters::new(&weights, ops), |_| {
        let relative = rotary.clone().map_or(Relative::None, Relative::Rotary);
        Ok(Attention { relative, query_scale, ..shape.heads.attention() })
    })
}

/// Reads a key with two values, the first of them the default. Returns true for the second.
fn switch(file: &JsonFile, key: &str, [first, second]: [&str; 2]) -> Result<bool> {
    let value = file.text(key, first)?;
    if value != first && value != second {
        return Err(file.unsupported(key, value, &format!("{first}, {second}")));
    }
    Ok(value == second)
}

/// Returns the angles of the published code. Its only scaling is NTK-aware; transformers' own types are refused.
fn rotary(file: &JsonFile, shape: &EncoderShape) -> Result<Arc<Rotary>> {
    let key = "rope_scaling";
    let (width, theta) = (shape.heads.width, PUBLISHED.rope_theta);
    match file.get::<Option<NtkScaling>>(key, None)? {
        Some(scaling) => {
            let theta = file.get("rope_theta", theta)?;
            scaling.rotary(&Rope { key, theta, ..Rope::new(file, width, shape.max_position_embeddings) })
        }
        None => Rope::read(file, theta, width, shape.max_position_embeddings)?.unscaled()?.rotary(),
    }
}

/// Reads the factor of queries by the length of their text.
fn length_scale(file: &JsonFile, shape: &EncoderShape) -> Result<Option<LengthScale>> {
    let at_least_one = file.get("logn_attention_clip1", false)?;
    if !file.get("logn_attention_scale", false)? {
        return Ok(None);
    }
    let reference = shape.max_position_embeddings;
    if reference < 2 {
        return Err(file.error("max_position_embeddings", "must be at least 2 for logn_attention_scale, got 1"));
    }
    Ok(Some(LengthScale { reference, at_least_one }))
}
