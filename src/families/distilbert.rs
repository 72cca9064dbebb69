//! DistilBERT (Sanh et al., 2019): BERT without token types, and with names of its own.

use super::bert::WORDS;
use super::heads::{ClassificationHead, MaskedLmHead, OutputBias, TransformLayer};
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::embeddings::PositionRule;
use crate::layers::post_norm::{CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const DISTILBERT: Family = Family {
    model_type: "distilbert",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("pre_classifier", Activation::Relu, "classifier"))),
    masked_lm: Some(|file| {
        let shape = shape(file)?;
        Ok(MaskedLmHead {
            transform: TransformLayer::new("vocab_transform", shape.activation)
                .with_norm("vocab_layer_norm", shape.eps),
            width: shape.hidden_size,
            words: "distilbert.embeddings.word_embeddings",
            output: "vocab_projector",
            bias: OutputBias::OfLayer,
        })
    }),
    tokenizer: DefaultClass::Undeclared(&class::BERT),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("dim", 768)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 30_522)?,
        hidden_size,
        layers: file.size("n_layers", 6)?,
        heads: AttentionHeads::of(file, "n_heads", 12, hidden_size)?,
        intermediate_size: file.size("hidden_dim", 3072)?,
        activation: file.activation("activation", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", 512)?,
        // No key configures it.
        eps: 1e-12,
    })
}

const NAMES: CheckpointNames = CheckpointNames {
    layers: "transformer.layer",
    embedding_norm: "embeddings.LayerNorm",
    layer: LayerNames {
        query_key_value: Projections::Apart(["attention.q_lin", "attention.k_lin", "attention.v_lin"]),
        attention_output: "attention.out_lin",
        attention_norm: "sa_layer_norm",
        up: Up::Plain("ffn.lin1"),
        down: "ffn.lin2",
        output_norm: "output_layer_norm",
    },
};

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let transformer = PostNorm { positions: Some(PositionRule::FromZero), ..PostNorm::new(&shape, &NAMES) };
    let weights = weights.behind("distilbert", WORDS);
    transformer.load(file, &Parameters::new(&weights, ops), |_| Ok(shape.heads.attention()))
}
