//! MPNet (Song et al., 2020): BERT without token types, with biases on the attention scores by bucketed distance, which
//! all layers share.

use std::sync::Arc;

use super::bert::WORDS;
use super::heads::{ClassificationHead, MaskedLmHead, OutputBias, TransformLayer};
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::distance::Buckets;
use crate::layers::embeddings::PositionRule;
use crate::layers::post_norm::{CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops, Relative};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const MPNET: Family = Family {
    model_type: "mpnet",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("classifier.dense", Activation::Tanh, "classifier.out_proj"))),
    masked_lm: Some(|file| {
        let shape = shape(file)?;
        Ok(MaskedLmHead {
            transform: TransformLayer::new("lm_head.dense", Activation::Gelu)
                .with_norm("lm_head.layer_norm", shape.eps),
            width: shape.hidden_size,
            words: "mpnet.embeddings.word_embeddings",
            output: "lm_head.decoder",
            bias: OutputBias::Own("lm_head.bias"),
        })
    }),
    tokenizer: DefaultClass::Undeclared(&class::MPNET),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 768)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 30_527)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 12)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 12, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 3072)?,
        activation: file.activation("hidden_act", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", 512)?,
        eps: file.eps("layer_norm_eps", 1e-12)?,
    })
}

/// No key configures the first position.
const POSITIONS: PositionRule = PositionRule::AfterPadding { pad: 1 };
/// Greater distances share the last bucket. No key configures it.
const MAX_DISTANCE: usize = 128;

const NAMES: CheckpointNames = CheckpointNames {
    layers: "encoder.layer",
    embedding_norm: "embeddings.LayerNorm",
    layer: LayerNames {
        query_key_value: Projections::Apart(["attention.attn.q", "attention.attn.k", "attention.attn.v"]),
        attention_output: "attention.attn.o",
        attention_norm: "attention.LayerNorm",
        up: Up::Plain("intermediate.dense"),
        down: "output.dense",
        output_norm: "output.LayerNorm",
    },
};

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let max_tokens = POSITIONS.max_tokens(file, shape.max_position_embeddings)?;
    let key = "relative_attention_num_buckets";
    let buckets = Buckets::new(file, (key, file.get(key, 32)?), ("(max distance)", MAX_DISTANCE))?;
    let transformer = PostNorm { positions: Some(POSITIONS), ..PostNorm::new(&shape, &NAMES) };

    let weights = weights.behind("mpnet", WORDS);
    let parameters = Parameters::new(&weights, ops);
    let by_bucket = "encoder.relative_attention_bias.weight";
    let by_bucket = parameters.array(by_bucket, &[buckets.count, shape.heads.count])?;
    let by_distance = buckets.by_distance(file, "max_position_embeddings", &by_bucket, max_tokens)?;
    let bias = Arc::new(ops.distance_bias(by_distance)?);
    transformer.load(file, &parameters, |_| {
        Ok(Attention { relative: Relative::Bias(Arc::clone(&bias)), ..shape.heads.attention() })
    })
}
