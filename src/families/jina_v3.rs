//! Jina embeddings v3 (Sturua et al., 2024), without its adapters: BERT with rotary positions.

use super::bert::WORDS;
use super::{Family, Load, RemoteCode};
use crate::config::JsonFile;
use crate::error::{Error, Result};
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::post_norm::{CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const JINA_V3: Family = Family {
    model_type: "jina_embeddings_v3",
    load: Load { cpu: load, portable: load },
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::XLM_ROBERTA),
    remote_code: RemoteCode::None,
};

/// Reads `config.json`; absent keys have the defaults of transformers' class.
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
