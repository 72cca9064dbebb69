//! EmbeddingGemma 2, its text model (Gemma Team, 2026): Gemma 3's layers looking both ways, wider ones with full attention, and a
//! third block that mixes the embeddings in again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{DecoderShape, LayerType, LayerTypes, Norms};
use crate::layers::encoder::Layer;
use crate::layers::per_layer_input::PerLayerInput;
use crate::layers::rope::{Rope, RopeByLayerType};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops, Residual, Rotary, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::{Array, Weights};

/// The text model alone.
pub(super) const EMBEDDING_GEMMA2_TEXT: Family = Family {
    model_type: "embedding_gemma2_text",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::None,
};

/// The text model in a folder that has towers for pictures and sound, too.
pub(super) const EMBEDDING_GEMMA2: Family =
    Family { model_type: "embedding_gemma2", load: load_by!(load_text_part), ..EMBEDDING_GEMMA2_TEXT };

/// Key of the text model's config.
const TEXT: &str = "text_config";
/// Upper bound of layers, whose sizes are read before their tensors.
const MAX_LAYERS: usize = 1000;

/// Reads `config.json`; absent keys have the defaults of transformers' class.
fn shape(file: &JsonFile) -> Result<DecoderShape> {
    let attention_bias = file.get("attention_bias", false)?;
    let shape = DecoderShape {
        vocab_size: file.size("vocab_size", 262_144)?,
        hidden_size: file.size("hidden_size", 512)?,
        layers: file.size("num_hidden_layers", 24)?,
        heads: AttentionHeads { count: file.size("num_attention_heads", 4)?, width: file.get("head_dim", 256)? },
        key_value_heads: file.get("num_key_value_heads", 2)?,
        intermediate_size: file.size("intermediate_size", 2048)?,
        activation: file.activation("hidden_activation", "gelu_pytorch_tanh")?,
        query_key_value_bias: attention_bias,
        attention_output_bias: attention_bias,
        feed_forward_bias: false,
        max_position_embeddings: file.size("max_position_embeddings", 262_144)?,
        norms: Norms { eps: file.eps("rms_norm_eps", 1e-6)?, offset: 0.0 },
    };
    shape.checked(file)
}

/// Sizes of a layer that differ from those of the others.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerSizes {
    head_dim: Option<usize>,
    num_key_value_heads: Option<usize>,
}

/// Layers with their types, sizes and positions.
struct Layers {
    types: Vec<LayerType>,
    shapes: Vec<DecoderShape>,
    sliding: Window,
    global: Arc<Rotary>,
    local: Arc<Rotary>,
}

impl Layers {
    fn read(file: &JsonFile, shape: &DecoderShape) -> Result<Self> {
        if shape.layers > MAX_LAYERS {
            let problem = format!("must be at most {MAX_LAYERS}, got {}", shape.layers);
            return Err(file.error("num_hidden_layers", problem));
        }
        let types = types(file, shape.layers)?;
        let shapes = shapes(file, shape, &types)?;
        let radius = file.size("sliding_window", 512)?;
        let parameters: Option<RopeByLayerType> = file.get("rope_parameters", None)?;
        let RopeByLayerType { full_attention, sliding_attention } = parameters.unwrap_or_default();
        let rotary = |key, parameters, of_type, theta| {
            let width = head_width(file, &types, &shapes, of_type)?.unwrap_or(shape.heads.width);
            let rope = Rope::new(file, width, shape.max_position_embeddings);
            Rope { key, parameters, theta, ..rope }.rotary()
        };
        Ok(Self {
            global: rotary("rope_parameters.full_attention", full_attention, LayerType::FullAttention, 1e6)?,
            local: rotary("rope_parameters.sliding_attention", sliding_attention, LayerType::SlidingAttention, 1e4)?,
            sliding: Window { before: radius, after: radius },
            types,
            shapes,
        })
    }

    fn of(&self, layer: usize) -> (&DecoderShape, Window, &Arc<Rotary>) {
        let (window, rotary) = match self.types[layer] {
            LayerType::FullAttention => (Window::ALL, &self.global),
            LayerType::SlidingAttention => (self.sliding, &self.local),
        };
        (&self.shapes[layer], window, rotary)
    }
}

/// Reads the type of each layer. The last one always has full attention.
fn types(file: &JsonFile, layers: usize) -> Result<Vec<LayerType>> {
    let listed = LayerTypes::read(file, layers)?;
    let period = listed.period(file, "sliding_window_pattern", 6)?;
    let of = |layer: usize| match layer + 1 {
        last if last == layers => LayerType::FullAttention,
        number => listed.of(layer, || match number.is_multiple_of(period) {
            true => LayerType::FullAttention,
            false => LayerType::SlidingAttention,
        }),
    };
    Ok((0..layers).map(of).collect())
}

/// Reads the sizes of each layer: `per_layer_config` has those that differ, or layers with full attention are wider.
fn shapes(file: &JsonFile, shape: &DecoderShape, types: &[LayerType]) -> Result<Vec<DecoderShape>> {
    let key = "per_layer_config";
    let listed: Option<BTreeMap<usize, LayerSizes>> = file.get(key, None)?;
    if let Some(layer) = listed.iter().flat_map(BTreeMap::keys).find(|layer| **layer >= types.len()) {
        return Err(file.error(format!("{key}.{layer}"), format!("must be below num_hidden_layers, {}", types.len())));
    }
    let wide = LayerSizes {
        head_dim: Some(file.get("global_head_dim", 512)?),
        num_key_value_heads: Some(file.get("num_global_key_value_heads", 1)?),
    };
    let sizes = |layer: usize, of_type: &LayerType| match (&listed, of_type) {
        (Some(listed), _) => listed.get(&layer).copied().unwrap_or_default(),
        (None, LayerType::FullAttention) => wide,
        (None, LayerType::SlidingAttention) => LayerSizes::default(),
    };
    let of = |(layer, of_type): (usize, &LayerType)| {
        let LayerSizes { head_dim, num_key_value_heads } = sizes(layer, of_type);
        let heads = AttentionHeads { width: head_dim.unwrap_or(shape.heads.width), ..shape.heads };
        let key_value_heads = num_key_value_heads.unwrap_or(shape.key_value_heads);
        DecoderShape { heads, key_value_heads, ..*shape }.checked(file)
    };
    types.iter().enumerate().map(of).collect()
}

/// Returns the width of the heads in all layers of a type, which share their positions.
fn head_width(
    file: &JsonFile,
    types: &[LayerType],
    shapes: &[DecoderShape],
    of_type: LayerType,
) -> Result<Option<usize>> {
    let mut widths = types.iter().zip(shapes).filter(|(own, _)| **own == of_type).map(|(_, shape)| shape.heads.width);
    let first = widths.next();
    match widths.find(|width| Some(*width) != first) {
        Some(_) => Err(file.error("per_layer_config", "must give all layers of one type the same head_dim")),
        None => Ok(first),
    }
}

/// Loads the text model of a folder with several towers, whose other tensors are left alone.
fn load_text_part<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let value = file.required(TEXT)?;
    let text = JsonFile { path: file.path.clone(), value };
    if !text.value.is_object() {
        return Err(file.mismatch(TEXT, "an object", &text.value));
    }
    let weights = weights.behind("language_model", "embed_tokens.weight");
    load(&text, weights, ops).map_err(|error| error.under(TEXT))
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let layers = Layers::read(file, &shape)?;
    let (hidden_size, narrow) = (shape.hidden_size, file.size("hidden_size_per_layer_input", 512)?);
    let width = file.size("embedding_dim", 768)?;

    let parameters = Parameters::new(&weights, ops);
    let inputs = parameters.at("ple");
    let all = shape.layers.saturating_mul(narrow);
    let projections = inputs.array("per_layer_model_projection.weight", &[all, hidden_size])?;
    let backbone = shape.load_scaled(&parameters, |i, layer| {
        let (own, window, rotary) = layers.of(i);
        let ones = Array::new(vec![own.heads.width], vec![1.0; own.heads.width]);
        let attention = Attention {
            scale: 1.0,
            window,
            query_key_norms: Some(own.query_key_norms(layer)?),
            value_norm: Some(ops.rms_norm(&ones, own.norms.eps)?),
            ..own.attention(rotary)
        };
        let block = layer.at("ple_block");
        let per_layer_input = PerLayerInput {
            input: ops.linear_layer(&[projections.rows(i * narrow..(i + 1) * narrow)], None)?,
            // The reference multiplies the projection by the root of 1 / hidden_size. Before a norm, that is a larger eps.
            input_norm: inputs.rms_norm("per_layer_projection_norm", narrow, own.norms.eps * hidden_size as f32)?,
            gate: block.linear_without_bias("per_layer_input_gate", hidden_size, narrow)?,
            activation: own.activation,
            output: block.linear_without_bias("per_layer_projection", narrow, hidden_size)?,
            residual: Residual::NormAdd(own.norms.load(&block, "post_per_layer_input_norm", hidden_size)?),
            factor: layer.array("layer_scalar", &[1])?.as_slice()[0],
        };
        Ok(Layer { per_layer_input: Some(per_layer_input), ..own.layer_with_four_norms(layer, attention)? })
    })?;
    let projection = parameters.linear_without_bias("embedding_projection", hidden_size, width)?;
    Ok(Backbone {
        encoder: backbone.encoder.with_projection(projection),
        limits: Limits { hidden_size: width, ..backbone.limits },
        ..backbone
    })
}
