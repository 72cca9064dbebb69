//! ELECTRA (Clark et al., 2020): BERT, with embeddings that are projected to the layers' width where they are narrower.

use super::bert::{NAMES, WORDS};
use super::heads::{ClassificationHead, MaskedLmHead, OutputBias, TransformLayer};
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::embeddings::PositionRule;
use crate::layers::post_norm::{EncoderShape, Factorized, PostNorm};
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const ELECTRA: Family = Family {
    model_type: "electra",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("classifier.dense", Activation::Gelu, "classifier.out_proj"))),
    masked_lm: Some(|file| {
        Ok(MaskedLmHead {
            transform: TransformLayer::new("generator_predictions.dense", Activation::Gelu)
                .with_norm("generator_predictions.LayerNorm", shape(file)?.eps),
            width: embedding_size(file)?,
            words: "electra.embeddings.word_embeddings",
            output: "generator_lm_head",
            bias: OutputBias::OfLayer,
        })
    }),
    tokenizer: DefaultClass::Undeclared(&class::BERT),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 256)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 30_522)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 12)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 4, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 1024)?,
        activation: file.activation("hidden_act", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", 512)?,
        eps: file.eps("layer_norm_eps", 1e-12)?,
    })
}

fn embedding_size(file: &JsonFile) -> Result<usize> {
    file.size("embedding_size", 128)
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("position_embedding_type", "absolute")?;
    file.refuse("is_decoder")?;
    let (shape, width) = (shape(file)?, embedding_size(file)?);
    let projection = (width != shape.hidden_size).then_some("embeddings_project");
    let transformer = PostNorm {
        token_types: Some(file.size("type_vocab_size", 2)?),
        positions: Some(PositionRule::FromZero),
        factorized: Some(Factorized { width, projection }),
        ..PostNorm::new(&shape, &NAMES)
    };
    let weights = weights.behind("electra", WORDS);
    transformer.load(file, &Parameters::new(&weights, ops), |_| Ok(shape.heads.attention()))
}
