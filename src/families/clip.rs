//! CLIP (Radford et al., 2021): a causal transformer for texts and a transformer for patches of images, whose projections lie
//! in one space.

use serde_json::Value;

use super::{Family, ImageTower, RemoteCode, part};
use crate::config::JsonFile;
use crate::error::Result;
use crate::heads::Feature;
use crate::images::{Defaults, ImageShape};
use crate::layers::tower::{Tower, TowerDefaults};
use crate::layers::{Backbone, Parameters};
use crate::ops::{Ops, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const CLIP: Family = Family {
    model_type: "clip",
    load: load_by!(load_text),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::CLIP),
    images: Some(ImageTower {
        load: load_by!(load_images),
        shape: |file| shape(&vision(file)?).map_err(|error| error.under(VISION)),
        processor: Defaults::CLIP,
        text_feature: |file| end(&text(file)?).map_err(|error| error.under(TEXT)),
    }),
    remote_code: RemoteCode::None,
};

/// Keys of the towers' configs.
const TEXT: &str = "text_config";
const VISION: &str = "vision_config";

const EPS: f64 = 1e-5;

/// Returns the config of a tower. Old files have it under another key, which wins.
fn tower(file: &JsonFile, key: &str) -> Result<JsonFile> {
    let old = format!("{key}_dict");
    part(file, if file.value.get(&old).is_some_and(Value::is_object) { &old } else { key })
}

fn text(file: &JsonFile) -> Result<JsonFile> {
    tower(file, TEXT)
}

fn vision(file: &JsonFile) -> Result<JsonFile> {
    tower(file, VISION)
}

fn shape(vision: &JsonFile) -> Result<ImageShape> {
    ImageShape::read(vision, 32, true)
}

/// Returns the token whose embedding is the text's. The id 2 is a mistake in old files, which transformers understands as the
/// largest id of a text.
fn end(text: &JsonFile) -> Result<Feature> {
    const MISTAKE: u32 = 2;
    Ok(match text.get("eos_token_id", 49_407)? {
        MISTAKE => Feature::LargestId,
        id => Feature::FirstOf(id),
    })
}

/// Reads the width of both towers' projections.
fn projected(file: &JsonFile) -> Result<usize> {
    file.size("projection_dim", 512)
}

fn load_text<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let parameters = Parameters::new(&weights, ops);
    let text = text(file)?;
    let defaults = TowerDefaults { hidden_size: 512, heads: 8, activation: "quick_gelu", eps: EPS };
    let tower = Tower::read(&text, defaults).map_err(|error| error.under(TEXT))?;
    let backbone = tower.load_text(&text, &parameters.at("text_model"), Window::CAUSAL, [49_408, 77]);
    let width = projected(file)?;
    let projection = parameters.linear_without_bias("text_projection", tower.hidden_size, width)?;
    Ok(backbone.map_err(|error| error.under(TEXT))?.projected(projection, width))
}

fn load_images<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let parameters = Parameters::new(&weights, ops);
    let vision = vision(file)?;
    let defaults = TowerDefaults { hidden_size: 768, heads: 12, activation: "quick_gelu", eps: EPS };
    let tower = Tower::read(&vision, defaults).map_err(|error| error.under(VISION))?;
    let shape = shape(&vision).map_err(|error| error.under(VISION))?;
    let width = projected(file)?;
    let projection = parameters.linear_without_bias("visual_projection", tower.hidden_size, width)?;
    let own = parameters.at("vision_model");
    let mut embeddings = tower.image_embeddings(&own, shape, false)?;
    // The name is misspelled in all checkpoints.
    embeddings.norm = Some(own.layer_norm("pre_layrnorm", tower.hidden_size, tower.eps)?);
    let encoder =
        tower.encoder(&own, Window::ALL)?.with_norm(own.layer_norm("post_layernorm", tower.hidden_size, tower.eps)?);
    let limits = tower.image_limits(shape);
    Ok(Backbone { embeddings, encoder, limits }.projected(projection, width))
}
