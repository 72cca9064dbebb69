//! BERT (Devlin et al., 2019), and RoBERTa (Liu et al., 2019) with its multilingual and French sisters XLM-R and
//! CamemBERT, which differ from it in nothing but where positions begin.

use serde::Deserialize;

use super::encoder::{Encoder, EncoderShape, LayerNames};
use super::{Backbone, Checkpoint, Limits, Parameters};
use crate::batch::Batch;
use crate::config::{Activation, JsonFile};
use crate::error::{Error, Result};
use crate::ops::{Lookup, Ops, Queries};
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' classes.
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
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    is_decoder: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            pad_token_id: None,
            position_embedding_type: None,
            is_decoder: false,
        }
    }
}

/// What the position of a token is.
enum Positions {
    /// Its place in the text.
    FromZero,
    /// A running count of the tokens that aren't padding, from `pad + 1`; padding itself, which may stand literally in a
    /// text, is at `pad`.
    AfterPadding { pad: u32 },
}

impl Positions {
    fn of(&self, batch: &Batch) -> Vec<u32> {
        match self {
            Self::FromZero => batch.positions(),
            Self::AfterPadding { pad } => positions_after_padding(batch, *pad),
        }
    }
}

/// The positions of RoBERTa and MPNet, which share fairseq's rule; see [`Positions::AfterPadding`].
pub(super) fn positions_after_padding(batch: &Batch, pad: u32) -> Vec<u32> {
    let of_text = |text: std::ops::Range<usize>| {
        batch.input_ids[text].iter().scan(pad, move |last, id| {
            *last += u32::from(*id != pad);
            Some(if *id == pad { pad } else { *last })
        })
    };
    batch.texts().flat_map(of_text).collect()
}

/// How many tokens have a position after the padding's.
pub(super) fn room_after_padding(config: &JsonFile, max_position_embeddings: usize, pad: u32) -> Result<usize> {
    let room = max_position_embeddings.checked_sub(pad as usize + 1).filter(|room| *room > 0);
    room.ok_or_else(|| {
        let problem =
            format!("must be more than pad_token_id + 1, {}, got {max_position_embeddings}", u64::from(pad) + 1);
        config.error("max_position_embeddings", problem)
    })
}

struct Bert<O: Ops> {
    words: O::Table,
    positions: O::Table,
    token_types: O::Table,
    norm: O::Norm,
    encoder: Encoder<O>,
    position_rule: Positions,
    limits: Limits,
}

/// `model_type` bert.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Box<dyn Backbone<O>>> {
    let config: Config = file.parse()?;
    let max_tokens = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    Bert::load(file, config, weights.behind("bert", WORDS), ops, Positions::FromZero, max_tokens)
}

/// `model_type` roberta, xlm-roberta and camembert.
pub(super) fn load_roberta<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Box<dyn Backbone<O>>> {
    let config: Config = file.parse()?;
    let pad = config.pad_token_id.unwrap_or(1);
    let max_tokens = room_after_padding(file, config.max_position_embeddings, pad)?;
    let rule = Positions::AfterPadding { pad };
    Bert::load(file, config, weights.behind("roberta", WORDS), ops, rule, max_tokens)
}

const WORDS: &str = "embeddings.word_embeddings.weight";

const NAMES: LayerNames = LayerNames {
    query_key_value: ["attention.self.query", "attention.self.key", "attention.self.value"],
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

impl<O: Ops> Bert<O> {
    fn load(
        file: &JsonFile,
        config: Config,
        weights: Weights,
        ops: &O,
        position_rule: Positions,
        max_tokens: usize,
    ) -> Result<Box<dyn Backbone<O>>> {
        let refuse = |key: &str, got: &str, supported: &str| {
            Err(Error::unsupported(format!("{}: {key}", file.path.display()), got, supported))
        };
        if let Some(kind) = config.position_embedding_type.filter(|kind| kind != "absolute") {
            return refuse("position_embedding_type", &kind, "absolute");
        }
        if config.is_decoder {
            return refuse("is_decoder", "true", "false");
        }
        let shape = EncoderShape {
            layers: file.positive("num_hidden_layers", config.num_hidden_layers)?,
            heads: config.num_attention_heads,
            hidden_size: file.positive("hidden_size", config.hidden_size)?,
            intermediate_size: file.positive("intermediate_size", config.intermediate_size)?,
            activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
            eps: file.eps("layer_norm_eps", config.layer_norm_eps)?,
        };
        let vocab_size = file.positive("vocab_size", config.vocab_size)?;
        let token_types = file.positive("type_vocab_size", config.type_vocab_size)?;
        let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "num_attention_heads")?);

        let parameters = Parameters::new(&weights, ops);
        let embeddings = parameters.at("embeddings");
        let positions = config.max_position_embeddings;
        Ok(Box::new(Self {
            words: embeddings.table("word_embeddings", vocab_size, hidden_size)?,
            positions: embeddings.table("position_embeddings", positions, hidden_size)?,
            token_types: embeddings.table("token_type_embeddings", token_types, hidden_size)?,
            norm: embeddings.norm("LayerNorm", hidden_size, shape.eps)?,
            encoder: Encoder::load(&parameters.at("encoder.layer"), &shape, &NAMES, head_width, None)?,
            position_rule,
            limits: Limits {
                hidden_size,
                vocab_size,
                type_vocab_size: Some(token_types),
                max_tokens: Some(max_tokens),
                max_position_embeddings: Some(positions),
            },
        }))
    }
}

impl<O: Ops> Backbone<O> for Bert<O> {
    fn forward(&self, ops: &O, batch: &Batch, wanted: Queries, checkpoint: &Checkpoint<'_>) -> Result<O::Tensor> {
        let lookups = [
            Lookup { table: &self.words, entries: &batch.input_ids },
            Lookup { table: &self.token_types, entries: &batch.token_type_ids },
            Lookup { table: &self.positions, entries: &self.position_rule.of(batch) },
        ];
        self.encoder.forward(ops, ops.embed(&lookups, &self.norm)?, batch, wanted, checkpoint)
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}
