//! SigLIP (Zhai et al., 2023) and SigLIP 2 of fixed resolution (Tschannen et al., 2025): transformers for texts and for patches
//! of images, which look both ways. A learned query pools the patches.

use super::{Family, ImageTower, RemoteCode, part};
use crate::config::JsonFile;
use crate::error::Result;
use crate::heads::Feature;
use crate::images::{Defaults, ImageShape};
use crate::layers::encoder::Encoder;
use crate::layers::tower::{Tower, TowerDefaults};
use crate::layers::{Backbone, Parameters};
use crate::ops::{Ops, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const SIGLIP: Family = Family {
    model_type: "siglip",
    load: load_by!(load_text),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::SIGLIP),
    images: Some(ImageTower {
        load: load_by!(load_images),
        shape: |file| shape(&part(file, VISION)?).map_err(|error| error.under(VISION)),
        processor: Defaults::SIGLIP,
        // It was trained on texts that are padded to one length: the last token, whatever it is.
        text_feature: |_| Ok(Feature::Last),
    }),
    remote_code: RemoteCode::None,
};

/// Keys of the towers' configs.
const TEXT: &str = "text_config";
const VISION: &str = "vision_config";

const DEFAULTS: TowerDefaults =
    TowerDefaults { hidden_size: 768, heads: 12, activation: "gelu_pytorch_tanh", eps: 1e-6 };

fn shape(vision: &JsonFile) -> Result<ImageShape> {
    ImageShape::read(vision, 16, false)
}

fn load_text<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let text = part(file, TEXT)?;
    load_text_part(&text, &weights, ops).map_err(|error| error.under(TEXT))
}

fn load_text_part<O: Ops>(text: &JsonFile, weights: &Weights, ops: &O) -> Result<Backbone<O>> {
    let parameters = Parameters::new(weights, ops).at("text_model");
    let tower = Tower::read(text, DEFAULTS)?;
    let backbone = tower.load_text(text, &parameters, Window::ALL, [32_000, 64])?;
    let width = text.size("projection_size", tower.hidden_size)?;
    Ok(backbone.projected(parameters.linear("head", tower.hidden_size, width)?, width))
}

fn load_images<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let vision = part(file, VISION)?;
    load_image_part(&vision, &weights, ops).map_err(|error| error.under(VISION))
}

fn load_image_part<O: Ops>(vision: &JsonFile, weights: &Weights, ops: &O) -> Result<Backbone<O>> {
    vision.only("vision_use_head", true)?;
    let parameters = Parameters::new(weights, ops).at("vision_model");
    let tower = Tower::read(vision, DEFAULTS)?;
    let shape = shape(vision)?;
    let layers = parameters.at("encoder.layers");
    let encoder = Encoder::load(tower.layers + 1, |i| match i == tower.layers {
        true => tower.pooling_layer(&parameters),
        false => tower.layer(&layers.at(&i.to_string()), Window::ALL),
    })?;
    Ok(Backbone {
        embeddings: tower.image_embeddings(&parameters, shape, true)?,
        encoder,
        limits: tower.image_limits(shape),
    })
}
