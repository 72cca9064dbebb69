//! NomicBERT (Nussbaum et al., 2024): BERT with rotary positions and a gated feed-forward block, without biases. Version 2
//! has plain blocks, and a mixture of experts in some layers (Nussbaum and Duderstadt, 2025).
//!
//! Its config has two forms: that of transformers, and that of its own code, which the hub's models have.

use std::sync::Arc;

use serde_json::Value;

use super::bert::WORDS;
use super::heads::ClassificationHead;
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::encoder::FeedForwardBlock;
use crate::layers::experts::Experts;
use crate::layers::post_norm::{Biases, CheckpointNames, EncoderShape, LayerNames, PostNorm, Projections, Up};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{FeedForward, Ops, Rotary};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const NOMIC_BERT: Family = Family {
    model_type: "nomic_bert",
    load: load_by!(load),
    classifier: Some(|_| Ok(ClassificationHead::first("nomic_bert.pooler.dense", Activation::Tanh, "classifier"))),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::BERT),
    images: None,
    remote_code: RemoteCode::Same(&["NomicBertConfig", "NomicBertModel", "NomicBertForSequenceClassification"]),
};

/// Parts of a config whose keys differ between its forms.
struct Config {
    shape: EncoderShape,
    token_types: usize,
    rotary: Arc<Rotary>,
    biases: Biases,
    /// True if a gate is part of feed-forward blocks.
    gated: bool,
    experts: Option<ExpertLayers>,
}

/// Layers with experts: the second of as many layers, and so on.
struct ExpertLayers {
    period: usize,
    count: usize,
    per_token: usize,
}

impl ExpertLayers {
    fn read(file: &JsonFile) -> Result<Option<Self>> {
        let period = file.get("moe_every_n_layers", 0)?;
        if period == 0 {
            return Ok(None);
        }
        file.only("activation_function", "gelu")?;
        file.only("num_shared_experts", 0)?;
        file.only("expert_choice_router", false)?;
        file.only("moe_normalize_expert_weights", false)?;
        file.only("ffn_div", 1)?;
        let (key, count) = ("moe_top_k", file.size("num_experts", 8)?);
        match file.size(key, 2)? {
            per_token if per_token <= count => Ok(Some(Self { period, count, per_token })),
            other => Err(file.error(key, format!("must be at most num_experts, {count}, got {other}"))),
        }
    }

    /// Returns true for the number of a layer with experts.
    fn has(&self, layer: usize) -> bool {
        layer % self.period == 1
    }

    fn load<O: Ops>(&self, layer: &Parameters<'_, O>, shape: &EncoderShape) -> Result<Experts<O>> {
        let (hidden, middle) = (shape.hidden_size, shape.intermediate_size);
        let mlp = layer.at("mlp");
        // All experts' hidden units, one expert after the other: the rows of both matrices.
        let units = |name| mlp.array(name, &[self.count.saturating_mul(middle), hidden]);
        let (up, down) = (units("experts.mlp.w1")?, units("experts.mlp.w2")?);
        let block = |expert: usize| {
            let units = expert * middle..(expert + 1) * middle;
            Ok(FeedForward {
                up: layer.ops.linear_layer(&[up.rows(units.clone())], None)?,
                gated: false,
                activation: shape.activation,
                down: layer.ops.linear_layer(&[down.rows(units).transposed()], None)?,
            })
        };
        let blocks = (0..self.count).map(block).collect::<Result<_>>()?;
        down.forget_pages();
        // The choice of experts must not change with the precision.
        let exact = layer.ops.in_full_precision();
        let mut bias = mlp.array("experts.bias", &[hidden])?;
        bias.shape = vec![1, hidden];
        Ok(Experts {
            router: exact.linear_layer(&[mlp.array("router.layer.weight", &[self.count, hidden])?], None)?,
            blocks,
            per_token: self.per_token,
            bias: layer.ops.table(bias.into())?,
        })
    }
}

impl Config {
    fn read(file: &JsonFile) -> Result<Self> {
        if file.value.get("n_embd").is_some() { Self::of_hub(file) } else { Self::of_transformers(file) }
    }

    /// Reads the form of transformers; absent keys have the defaults of its class.
    fn of_transformers(file: &JsonFile) -> Result<Self> {
        let hidden_size = file.size("hidden_size", 768)?;
        let (count_key, count) = ("num_attention_heads", 12);
        let heads = match file.get("head_dim", None)? {
            Some(width) => {
                AttentionHeads { count: file.size(count_key, count)?, width: file.positive("head_dim", width)? }
            }
            None => AttentionHeads::of(file, count_key, count, hidden_size)?,
        };
        let shape = EncoderShape {
            vocab_size: file.size("vocab_size", 30_528)?,
            hidden_size,
            layers: file.size("num_hidden_layers", 12)?,
            heads,
            intermediate_size: file.size("intermediate_size", 3072)?,
            activation: file.activation("hidden_act", "silu")?,
            max_position_embeddings: file.size("max_position_embeddings", 2048)?,
            eps: file.eps("layer_norm_eps", 1e-12)?,
        };
        Ok(Self {
            token_types: file.size("type_vocab_size", 2)?,
            rotary: Rope::read(file, 1000.0, heads.width, shape.max_position_embeddings)?.rotary()?,
            biases: Biases { attention: false, up: false, down: false },
            gated: true,
            experts: None,
            shape,
        })
    }

    /// Reads the form of the hub's models.
    fn of_hub(file: &JsonFile) -> Result<Self> {
        refuse_variants(file)?;
        let size = |key: &str| file.positive(key, file.required(key)?);
        let (heads_key, eps_key) = ("n_head", "layer_norm_epsilon");
        let hidden_size = size("n_embd")?;
        let (activation, gated) = hub_activation(file)?;
        let shape = EncoderShape {
            vocab_size: size("vocab_size")?,
            hidden_size,
            layers: size("n_layer")?,
            heads: AttentionHeads::of(file, heads_key, file.required(heads_key)?, hidden_size)?,
            intermediate_size: size("n_inner")?,
            activation,
            max_position_embeddings: size("n_positions")?,
            eps: file.eps(eps_key, file.required(eps_key)?)?,
        };
        Ok(Self {
            token_types: size("type_vocab_size")?,
            rotary: rotary_of_hub(file, &shape)?,
            biases: Biases {
                attention: file.get("qkv_proj_bias", false)?,
                up: file.get("mlp_fc1_bias", false)?,
                down: file.get("mlp_fc2_bias", false)?,
            },
            gated,
            experts: ExpertLayers::read(file)?,
            shape,
        })
    }
}

/// Refuses what the code of the hub's models can compute, and published models don't use.
fn refuse_variants(file: &JsonFile) -> Result<()> {
    for key in [
        "prenorm",
        "parallel_block",
        "causal",
        "use_rms_norm",
        "rotary_emb_interleaved",
        "scale_attn_by_inverse_layer_idx",
    ] {
        file.only(key, false)?;
    }
    file.only("scale_attn_weights", true)?;
    for key in ["rotary_emb_scale_base", "rotary_scaling_factor"] {
        file.only(key, Value::Null)?;
    }
    Ok(())
}

/// Returns the activation in the form of the hub's models, and true if it is that of a gate.
fn hub_activation(file: &JsonFile) -> Result<(Activation, bool)> {
    let key = "activation_function";
    match file.text(key, "swiglu")?.as_str() {
        "gelu" => Ok((Activation::Gelu, false)),
        "swiglu" => Ok((Activation::Silu, true)),
        other => Err(file.unsupported(key, other, "gelu, swiglu")),
    }
}

/// Returns the rotation angles of a head's first columns. A fraction of 0, which needs a table of positions, is
/// refused.
fn rotary_of_hub(file: &JsonFile, shape: &EncoderShape) -> Result<Arc<Rotary>> {
    let key = "rotary_emb_fraction";
    let fraction: f64 = file.required(key)?;
    let columns = shape.heads.width as f64 * fraction;
    if !(columns >= 1.0 && fraction <= 1.0) {
        return Err(file.unsupported(key, fraction.to_string(), "above 0, up to 1"));
    }
    let theta = file.get("rotary_emb_base", 10_000.0)?;
    Rope { key, theta, ..Rope::new(file, columns as usize, shape.max_position_embeddings) }.rotary()
}

/// Returns the names of the hub's models.
const fn hub_names(up: Up) -> CheckpointNames {
    CheckpointNames {
        layers: "encoder.layers",
        embedding_norm: "emb_ln",
        layer: LayerNames {
            query_key_value: Projections::Together("attn.Wqkv"),
            attention_output: "attn.out_proj",
            attention_norm: "norm1",
            up,
            down: "mlp.fc2",
            output_norm: "norm2",
        },
    }
}

const GATED_NAMES: [CheckpointNames; 2] = [
    hub_names(Up::Gated { gate: "mlp.fc12", up: "mlp.fc11" }),
    CheckpointNames::of_transformers(Up::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" }, "mlp.down_proj"),
];
/// transformers' class always has a gate.
const PLAIN_NAMES: CheckpointNames = hub_names(Up::Plain("mlp.fc1"));

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let Config { shape, token_types, rotary, biases, gated, experts } = Config::read(file)?;
    let weights = weights.behind("bert", WORDS).behind("nomic_bert", WORDS);
    let names = if gated { CheckpointNames::of(&GATED_NAMES, &weights) } else { &PLAIN_NAMES };
    let transformer = PostNorm { token_types: Some(token_types), biases, ..PostNorm::new(&shape, names) };
    transformer.load_layers(file, &Parameters::new(&weights, ops), |i, layer| {
        let attention = shape.heads.rotary_attention(&rotary);
        match experts.as_ref().filter(|experts| experts.has(i)) {
            Some(experts) => {
                let experts = FeedForwardBlock::Experts(experts.load(layer, &shape)?);
                transformer.layer_with(layer, attention, experts)
            }
            None => transformer.layer(layer, attention),
        }
    })
}
