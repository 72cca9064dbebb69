//! Gemma 2 (Gemma Team, 2024): Gemma's layers with norms after each block too, attention scores that approach a limit, and a
//! sliding window in every second layer.

use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::decoder::{DecoderShape, LayerType, LayerTypes, Sight};
use crate::layers::gemma::attention_scale;
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::{Attention, Ops, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const GEMMA2: Family = Family {
    model_type: "gemma2",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GEMMA),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads the limit of attention scores; null means none.
fn softcap(file: &JsonFile) -> Result<Option<f32>> {
    let key = "attn_logit_softcapping";
    match file.get(key, Some(50.0_f32))? {
        Some(limit) if !(limit.is_finite() && (1.0 / limit).is_finite() && limit > 0.0) => {
            Err(file.error(key, format!("must be a number above 0, or null, got {limit}")))
        }
        limit => Ok(limit),
    }
}

/// Keys that each layer's queries see.
struct Windows {
    types: LayerTypes,
    sight: Sight,
    sliding: Option<usize>,
}

impl Windows {
    const SLIDING: &'static str = "sliding_window";

    fn read(file: &JsonFile, layers: usize) -> Result<Self> {
        let sliding = file.get(Self::SLIDING, Some(4096))?;
        Ok(Self { types: LayerTypes::read(file, layers)?, sight: Sight::read(file)?, sliding })
    }

    fn of(&self, file: &JsonFile, layer: usize) -> Result<Window> {
        let by_number = || match layer.is_multiple_of(2) {
            true => LayerType::SlidingAttention,
            false => LayerType::FullAttention,
        };
        match (self.types.of(layer, by_number), self.sliding) {
            (LayerType::FullAttention, _) => Ok(self.sight.window()),
            (LayerType::SlidingAttention, Some(width)) => self.sight.sliding_window(file, Self::SLIDING, width),
            (LayerType::SlidingAttention, None) => {
                Err(file.error(Self::SLIDING, "must be a whole number: a layer is sliding_attention; got null"))
            }
        }
    }
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = DecoderShape::of_gemma(file, 256_000, 8192)?;
    let (scale, softcap) = (attention_scale(file)?, softcap(file)?);
    let windows = Windows::read(file, shape.layers)?;
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;

    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load_scaled(&Parameters::new(&weights, ops), |i, layer| {
        let window = windows.of(file, i)?;
        let attention = Attention { scale, softcap, window, ..shape.attention(&rotary) };
        shape.layer_with_four_norms(layer, attention)
    })
}
