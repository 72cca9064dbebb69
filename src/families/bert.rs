//! BERT (Devlin et al., 2019), and RoBERTa (Liu et al., 2019) with its multilingual and French sisters XLM-R and
//! CamemBERT: the same transformer, whose positions begin elsewhere.

use super::heads::{ClassificationHead, MaskedLmHead, OutputBias, TransformLayer};
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile, token_id};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::embeddings::PositionRule;
use crate::layers::post_norm::{CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const BERT: Family = Family {
    model_type: "bert",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("bert.pooler.dense", Activation::Tanh, "classifier"))),
    masked_lm: Some(|file| {
        let shape = shape(file)?;
        Ok(MaskedLmHead {
            transform: TransformLayer::new("cls.predictions.transform.dense", shape.activation)
                .with_norm("cls.predictions.transform.LayerNorm", shape.eps),
            width: shape.hidden_size,
            words: "bert.embeddings.word_embeddings",
            output: "cls.predictions.decoder",
            bias: OutputBias::Own("cls.predictions.bias"),
        })
    }),
    tokenizer: DefaultClass::Undeclared(&class::BERT),
    images: None,
    remote_code: RemoteCode::None,
};

pub(super) const ROBERTA: Family = Family {
    model_type: "roberta",
    load: load_by!(load_roberta),
    classifier: Some(|_| Ok(ClassificationHead::first("classifier.dense", Activation::Tanh, "classifier.out_proj"))),
    masked_lm: Some(|file| {
        let shape = shape(file)?;
        Ok(MaskedLmHead {
            transform: TransformLayer::new("lm_head.dense", Activation::Gelu)
                .with_norm("lm_head.layer_norm", shape.eps),
            width: shape.hidden_size,
            words: "roberta.embeddings.word_embeddings",
            output: "lm_head.decoder",
            bias: OutputBias::Own("lm_head.bias"),
        })
    }),
    tokenizer: DefaultClass::Undeclared(&class::ROBERTA),
    images: None,
    remote_code: RemoteCode::None,
};

pub(super) const XLM_ROBERTA: Family =
    Family { model_type: "xlm-roberta", tokenizer: DefaultClass::Undeclared(&class::XLM_ROBERTA), ..ROBERTA };

pub(super) const CAMEMBERT: Family =
    Family { model_type: "camembert", tokenizer: DefaultClass::Undeclared(&class::CAMEMBERT), ..ROBERTA };

/// Reads `config.json`; absent keys have the defaults of transformers' classes.
pub(super) fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 768)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 30_522)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 12)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 12, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 3072)?,
        activation: file.activation("hidden_act", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", 512)?,
        eps: file.eps("layer_norm_eps", 1e-12)?,
    })
}

pub(super) const WORDS: &str = "embeddings.word_embeddings.weight";

pub(super) const NAMES: CheckpointNames = CheckpointNames {
    layers: "encoder.layer",
    embedding_norm: "embeddings.LayerNorm",
    layer: LayerNames {
        query_key_value: Projections::Apart(["attention.self.query", "attention.self.key", "attention.self.value"]),
        attention_output: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
        up: Up::Plain("intermediate.dense"),
        down: "output.dense",
        output_norm: "output.LayerNorm",
    },
};

/// Id of the padding token, if any. RoBERTa's default; only its positions depend on it.
fn pad_token(file: &JsonFile) -> Result<Option<u32>> {
    file.get_with("pad_token_id", Some(1), token_id)
}

/// Id of the padding token, from which positions are counted.
pub(super) fn required_pad_token(file: &JsonFile) -> Result<u32> {
    let problem = "must be a token's id: positions are counted from it on";
    pad_token(file)?.ok_or_else(|| file.error("pad_token_id", problem))
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    pad_token(file)?;
    load_with(file, &weights.behind("bert", WORDS), ops, PositionRule::FromZero)
}

fn load_roberta<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let pad = required_pad_token(file)?;
    load_with(file, &weights.behind("roberta", WORDS), ops, PositionRule::AfterPadding { pad })
}

fn load_with<O: Ops>(file: &JsonFile, weights: &Weights, ops: &O, positions: PositionRule) -> Result<Backbone<O>> {
    file.only("position_embedding_type", "absolute")?;
    file.refuse("is_decoder")?;
    let shape = shape(file)?;
    let transformer = PostNorm {
        token_types: Some(file.size("type_vocab_size", 2)?),
        positions: Some(positions),
        ..PostNorm::new(&shape, &NAMES)
    };
    transformer.load(file, &Parameters::new(weights, ops), |_| Ok(shape.heads.attention()))
}
