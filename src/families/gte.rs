//! GTE (Zhang et al., 2024): BERT with rotary positions and a gated feed-forward block.

use super::bert::WORDS;
use super::heads::ClassificationHead;
use super::{Family, Load, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::post_norm::{Biases, CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const GTE: Family = Family {
    model_type: "gte",
    load: Load { cpu: load, portable: load },
    classifier: Some(|_| Ok(ClassificationHead::first("gte.pooler.dense", Activation::Tanh, "classifier"))),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::XLM_ROBERTA),
    // Snowflake's, in snowflake-arctic-embed-m-v2.0.
    remote_code: RemoteCode::Same(&["GteConfig", "GteModel"]),
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 768)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 250_048)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 12)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 12, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 3072)?,
        activation: file.activation("hidden_act", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", 8192)?,
        eps: file.eps("layer_norm_eps", 1e-12)?,
    })
}

const NAMES: [CheckpointNames; 2] = [
    CheckpointNames {
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
    },
    CheckpointNames::of_transformers(Up::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" }, "mlp.down_proj"),
];

/// Refuses what the code of its models on the hub can compute, and transformers' class can't.
fn refuse_variants(file: &JsonFile) -> Result<()> {
    file.only("layer_norm_type", "layer_norm")?;
    file.only("position_embedding_type", "rope")?;
    file.only("logn_attention_scale", false)
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    refuse_variants(file)?;
    let shape = shape(file)?;
    file.only("head_dim", shape.heads.width)?;
    let rotary = Rope::read(file, 160_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;
    // Some models have no table of token types.
    let token_types = Some(file.get("type_vocab_size", 1)?).filter(|types| *types > 0);

    let weights = weights.behind("new", WORDS).behind("gte", WORDS);
    let names = CheckpointNames::of(&NAMES, &weights);
    let biases = Biases { up: false, ..Biases::ALL };
    let transformer = PostNorm { token_types, biases, ..PostNorm::new(&shape, names) };
    transformer.load(file, &Parameters::new(&weights, ops), |_| Ok(shape.heads.rotary_attention(&rotary)))
}
