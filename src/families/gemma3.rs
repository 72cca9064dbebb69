//! Gemma 3 (Gemma Team, 2025), its text model: Llama's layers with norms after each block too, and of every head's queries
//! and keys; layers with a sliding window between layers that see all. Embedding models see both ways.

use std::sync::Arc;

use serde_json::Value;

use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::decoder::{DecoderShape, LayerType, LayerTypes};
use crate::layers::gemma::attention_scale;
use crate::layers::rope::{Rope, RopeByLayerType, RopeParameters};
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops, Rotary, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const GEMMA3: Family = Family {
    model_type: "gemma3_text",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GEMMA),
    images: None,
    remote_code: RemoteCode::None,
};

/// Keys that a layer's queries see, and the positions that they know.
struct Layers {
    types: LayerTypes,
    /// Full attention comes again after as many layers, unless all are listed.
    period: usize,
    sliding: Option<usize>,
    both_ways: bool,
    global: Arc<Rotary>,
    local: Arc<Rotary>,
}

impl Layers {
    const SLIDING: &'static str = "sliding_window";

    fn read(file: &JsonFile, shape: &DecoderShape) -> Result<Self> {
        let types = LayerTypes::read(file, shape.layers)?;
        let [global, local] = rotary(file, shape)?;
        Ok(Self {
            period: types.period(file, "sliding_window_pattern", 6)?,
            types,
            sliding: file.get(Self::SLIDING, Some(4096))?,
            both_ways: file.get("use_bidirectional_attention", None)?.unwrap_or(false),
            global,
            local,
        })
    }

    fn of(&self, file: &JsonFile, layer: usize) -> Result<(Window, &Arc<Rotary>)> {
        let by_number = || match layer % self.period {
            last if last + 1 == self.period => LayerType::FullAttention,
            _ => LayerType::SlidingAttention,
        };
        let width = || match self.sliding {
            Some(width) => file.positive(Self::SLIDING, width),
            None => Err(file.error(Self::SLIDING, "is missing; a layer of layer_types is sliding_attention")),
        };
        Ok(match (self.types.of(layer, by_number), self.both_ways) {
            (LayerType::FullAttention, true) => (Window::ALL, &self.global),
            (LayerType::FullAttention, false) => (Window::CAUSAL, &self.global),
            // Half of the window lies on each side.
            (LayerType::SlidingAttention, true) => (Window { before: width()? / 2, after: width()? / 2 }, &self.local),
            (LayerType::SlidingAttention, false) => (Window { before: width()? - 1, after: 0 }, &self.local),
        })
    }
}

/// Returns the angles of layers with full and with sliding attention.
fn rotary(file: &JsonFile, shape: &DecoderShape) -> Result<[Arc<Rotary>; 2]> {
    let parameters: Option<RopeByLayerType> = file.get("rope_parameters", None)?;
    let RopeByLayerType { full_attention, sliding_attention } = parameters.unwrap_or_default();
    let scaling: Option<RopeParameters> = file.get("rope_scaling", None)?;
    let (global, key) = match (scaling, full_attention) {
        (Some(scaling), Some(parameters)) if scaling != parameters => {
            return Err(file.unsupported("rope_scaling", "another than rope_parameters.full_attention", "one of them"));
        }
        (Some(scaling), _) => (Some(scaling), "rope_scaling"),
        (None, parameters) => (parameters, "rope_parameters.full_attention"),
    };
    let rotary = |key, parameters, theta| {
        let rope = Rope::new(file, shape.heads.width, shape.max_position_embeddings);
        Rope { key, parameters, theta, ..rope }.rotary()
    };
    let local_theta = file.get("rope_local_base_freq", 10_000.0)?;
    Ok([
        rotary(key, global, file.get("rope_theta", 1_000_000.0)?)?,
        rotary("rope_parameters.sliding_attention", sliding_attention, local_theta)?,
    ])
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("attn_logit_softcapping", Value::Null)?;
    file.only("is_causal", true)?;
    let shape = DecoderShape::of_gemma(file, 262_208, 131_072)?;
    let (scale, layers) = (attention_scale(file)?, Layers::read(file, &shape)?);

    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load_scaled(&Parameters::new(&weights, ops), |i, layer| {
        let (window, rotary) = layers.of(file, i)?;
        let query_key_norms = Some(shape.query_key_norms(layer)?);
        let attention = Attention { scale, window, query_key_norms, ..shape.attention(rotary) };
        shape.layer_with_four_norms(layer, attention)
    })
}
