//! JinaBERT v2 (Günther et al., 2023): BERT with linear attention biases instead of a table of positions, and a gated
//! feed-forward block.
//!
//! Its code has two forms. That of the models for source code has norms of queries and keys, and adds attention's residual
//! twice. The tensors' names tell the forms apart.

use std::sync::{Arc, LazyLock};

use super::bert::{self, WORDS};
use super::heads::ClassificationHead;
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::encoder::Layer;
use crate::layers::post_norm::{Biases, CheckpointNames, EncoderShape, LayerNames, PostNorm, Up};
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops, QueryKeyNorms, Relative, Residual};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const JINA_BERT: Family = Family {
    model_type: "bert",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("bert.pooler.dense", Activation::Tanh, "classifier"))),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::BERT),
    images: None,
    remote_code: RemoteCode::Other(&["JinaBertConfig", "JinaBertModel", "JinaBertForSequenceClassification"]),
};

/// Names of a form whose attention is BERT's.
const fn names(up: Up, down: &'static str, output_norm: &'static str) -> CheckpointNames {
    CheckpointNames { layer: LayerNames { up, down, output_norm, ..bert::NAMES.layer }, ..bert::NAMES }
}

const NAMES: CheckpointNames = names(Up::Together("mlp.gated_layers"), "mlp.wo", "mlp.layernorm");
/// Names of the form with norms of queries and keys.
const NORMED_NAMES: CheckpointNames = names(Up::Swapped("mlp.up_gated_layer"), "mlp.down_layer", "layer_norm_2");

/// Reads `config.json`. `hidden_act` has no effect: the kind of gate names its activation.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let (positions, gate) = ("position_embedding_type", "feed_forward_type");
    match file.text(positions, "absolute")?.as_str() {
        "alibi" => {}
        other => return Err(file.unsupported(positions, other, "alibi")),
    }
    let activation = match file.text(gate, "original")?.as_str() {
        "geglu" => Activation::Gelu,
        "reglu" => Activation::Relu,
        other => return Err(file.unsupported(gate, other, "geglu, reglu")),
    };
    Ok(EncoderShape { activation, ..bert::shape(file)? })
}

/// Returns the slopes of the heads: falling powers of 2^(-8 / heads). For a number of heads that is no power of two, they
/// are those of the power below, then every second one of the power above.
fn slopes(heads: usize) -> Arc<[f32]> {
    let below = 1 << heads.ilog2();
    let of = |count: usize| (1..=count).map(move |i| (-8.0 * i as f64 / count as f64).exp2() as f32);
    of(below).chain(of(2 * below).step_by(2)).take(heads).collect()
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.refuse("is_decoder")?;
    let shape = shape(file)?;
    // Made with the first layer, when the tables have proved that the sizes are real.
    let slopes = LazyLock::new(|| slopes(shape.heads.count));
    let attention = || Attention { relative: Relative::Slopes(Arc::clone(&slopes)), ..shape.heads.attention() };

    let weights = weights.behind("bert", WORDS);
    let normed = weights.has("encoder.layer.0.attention.self.layer_norm_q.weight");
    let transformer = PostNorm {
        token_types: Some(file.size("type_vocab_size", 2)?),
        biases: Biases { up: false, ..Biases::ALL },
        ..PostNorm::new(&shape, if normed { &NORMED_NAMES } else { &NAMES })
    };
    transformer.load_layers(file, &Parameters::new(&weights, ops), |_, layer| {
        if !normed {
            return transformer.layer(layer, attention());
        }
        let norm = |name| layer.layer_norm(name, shape.hidden_size, shape.eps);
        let norms = [norm("attention.self.layer_norm_q")?, norm("attention.self.layer_norm_k")?];
        let query_key_norms = Some(QueryKeyNorms::AllHeads(norms));
        let twice = [norm(bert::NAMES.layer.attention_norm)?, norm("layer_norm_1")?];
        Ok(Layer {
            attention_residual: Residual::AddNormTwice(twice),
            ..transformer.layer(layer, Attention { query_key_norms, ..attention() })?
        })
    })
}

#[cfg(test)]
mod tests {
    use super::slopes;

    #[test]
    fn slopes_are_the_papers() {
        assert_eq!(&*slopes(8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        let root = 0.5f32.sqrt();
        let twelve = slopes(12);
        assert_eq!(twelve[..8], *slopes(8));
        assert_eq!(twelve[8..], [root, root / 2.0, root / 4.0, root / 8.0]);
        assert_eq!((&*slopes(1), &*slopes(3)), (&[0.00390625][..], &[0.0625, 0.00390625, 0.25][..]));
    }
}
