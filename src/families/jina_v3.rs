//! Jina embeddings v3 (Sturua et al., 2024): BERT with rotary positions. transformers' class has no adapters. The published
//! code, which has one for each task, is also that of jina-reranker-v2, with a table of positions.

use super::bert::{self, WORDS};
use super::heads::ClassificationHead;
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::{Error, Result};
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::embeddings::PositionRule;
use crate::layers::post_norm::{CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const JINA_V3: Family = Family {
    model_type: "jina_embeddings_v3",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::XLM_ROBERTA),
    images: None,
    remote_code: RemoteCode::None,
};

/// The published code. Weights merge the adapters, so that the layers are plain.
pub(super) const JINA_XLM_ROBERTA: Family = Family {
    model_type: "xlm-roberta",
    load: load_by!(load_published),
    classifier: Some(|_| Ok(ClassificationHead::first("classifier.dense", Activation::Tanh, "classifier.out_proj"))),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::XLM_ROBERTA),
    images: None,
    remote_code: RemoteCode::Other(&[
        "XLMRobertaFlashConfig",
        "XLMRobertaLoRA",
        "jinaai/xlm-roberta-flash-implementation--modeling_xlm_roberta.XLMRobertaModel",
        "jinaai/xlm-roberta-flash-implementation--modeling_xlm_roberta.XLMRobertaForSequenceClassification",
    ]),
};

/// Reads `config.json`; absent keys have the defaults of transformers' class, and of the published one.
fn shape(file: &JsonFile) -> Result<EncoderShape> {
    let hidden_size = file.size("hidden_size", 1024)?;
    Ok(EncoderShape {
        vocab_size: file.size("vocab_size", 250_002)?,
        hidden_size,
        layers: file.size("num_hidden_layers", 24)?,
        heads: AttentionHeads::of(file, "num_attention_heads", 16, hidden_size)?,
        intermediate_size: file.size("intermediate_size", 4096)?,
        activation: file.activation("hidden_act", "gelu")?,
        max_position_embeddings: file.size("max_position_embeddings", 8194)?,
        eps: file.eps("layer_norm_eps", 1e-5)?,
    })
}

const NAMES: [CheckpointNames; 2] = [
    CheckpointNames {
        layers: "encoder.layers",
        embedding_norm: "emb_ln",
        layer: LayerNames {
            query_key_value: Projections::Together("mixer.Wqkv"),
            attention_output: "mixer.out_proj",
            attention_norm: "norm1",
            up: Up::Plain("mlp.fc1"),
            down: "mlp.fc2",
            output_norm: "norm2",
        },
    },
    CheckpointNames::of_transformers(Up::Plain("mlp.fc1"), "mlp.fc2"),
];

/// Refuses adapters, in the config and among the weights.
fn refuse_adapters(file: &JsonFile, weights: &Weights) -> Result<()> {
    let adapters: Option<Vec<String>> = file.get("lora_adaptations", None)?;
    if let Some(adapters) = adapters.filter(|adapters| !adapters.is_empty()) {
        return Err(file.unsupported("lora_adaptations", adapters.join(", "), "none: a model without adapters"));
    }
    if let Some(name) = weights.others(&[]).find(|name| name.contains("lora_")) {
        let what = format!("{}: an adapter's tensor", weights.file().display());
        return Err(Error::unsupported(what, name, "a model without adapters"));
    }
    Ok(())
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    refuse_adapters(file, &weights)?;
    let shape = shape(file)?;
    file.only("head_dim", shape.heads.width)?;
    let rotary = Rope::read(file, 20_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;
    let token_types = Some(file.size("type_vocab_size", 1)?);

    let weights = weights.behind("roberta", WORDS).behind("jina_embeddings_v3", WORDS);
    let names = CheckpointNames::of(&NAMES, &weights);
    let transformer = PostNorm { token_types, ..PostNorm::new(&shape, names) };
    transformer.load(file, &Parameters::new(&weights, ops), |_| Ok(shape.heads.rotary_attention(&rotary)))
}

/// Returns the rule of the table of positions; `None` if positions are rotary.
fn table_of_positions(file: &JsonFile) -> Result<Option<PositionRule>> {
    let key = "position_embedding_type";
    match file.text(key, "rotary")?.as_str() {
        "rotary" => Ok(None),
        "absolute" => Ok(Some(PositionRule::AfterPadding { pad: bert::required_pad_token(file)? })),
        other => Err(file.unsupported(key, other, "rotary, absolute")),
    }
}

fn load_published<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let (key, width) = ("rotary_emb_base", shape.heads.width);
    let positions = table_of_positions(file)?;
    let rotary = match positions {
        Some(_) => None,
        None => {
            let rope = Rope::new(file, width, shape.max_position_embeddings);
            Some(Rope { key, theta: file.get(key, 10_000.0)?, ..rope }.rotary()?)
        }
    };
    let token_types = Some(file.size("type_vocab_size", 1)?);

    // An adapted word table has another name.
    let [names, _] = &NAMES;
    let weights = weights.behind("roberta", "emb_ln.weight");
    let transformer = PostNorm { token_types, positions, ..PostNorm::new(&shape, names) };
    transformer.load(file, &Parameters::new(&weights, ops), |_| {
        Ok(rotary.as_ref().map_or_else(|| shape.heads.attention(), |rotary| shape.heads.rotary_attention(rotary)))
    })
}
