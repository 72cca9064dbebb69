//! Two towers: a transformer for texts and one for images, whose rows lie in one space.

use super::{Network, Transformer};
use crate::batch::{Batch, TokenBudget};
use crate::config::Kind;
use crate::error::{Error, Result};
use crate::families::{ImageTower, LoadOps};
use crate::heads::{Feature, Files, HeadRequest, Output, load_feature};
use crate::layers::{Backbone, Checkpoint, Limits};
use crate::ops::Ops;
use crate::weights::Weights;

struct Towers<O: Ops> {
    text: Transformer<O>,
    images: Transformer<O>,
}

/// Loads both towers of a family.
pub(super) fn load<O: LoadOps>(
    kind: Kind,
    files: &Files<'_>,
    tower: &ImageTower,
    weights: Weights,
    ops: &O,
) -> Result<Box<dyn Network>> {
    if kind != Kind::Sentence {
        let what = format!("{}: for {}, a family with an image tower", files.config.path.display(), kind.class());
        return Err(Error::unsupported(what, "model_type", "in Model alone"));
    }
    let transformer = |backbone: Backbone<O>, feature| {
        let head = load_feature(files, feature, backbone.limits(), ops)?;
        Ok::<_, Error>(Transformer::new(ops.worker(), backbone, vec![head]))
    };
    let text = files.family.load(files.config, weights.clone(), ops)?;
    let text = transformer(text, (tower.text_feature)(files.config)?)?;
    let images = transformer(tower.load(files.config, weights, ops)?, Feature::First)?;
    if text.width() != images.width() {
        let problem = format!("must give both towers one width, got {} and {}", text.width(), images.width());
        return Err(files.config.error("vision_config", problem));
    }
    Ok(Box::new(Towers { text, images }))
}

impl<O: Ops> Network for Towers<O> {
    fn forward(
        &self,
        batch: &Batch,
        request: HeadRequest,
        threads: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Output> {
        let (images, texts) = parted(batch);
        if images.is_empty() {
            return self.text.forward(batch, request, threads, checkpoint);
        }
        if texts.is_empty() {
            return self.images.forward(batch, request, threads, checkpoint);
        }
        let of_texts = self.text.forward(&batch.some(&texts), request, threads, checkpoint)?;
        let of_images = self.images.forward(&batch.some(&images), request, threads, checkpoint)?;
        Ok(Output::joined(batch, &[(texts, of_texts), (images, of_images)]))
    }

    fn calibrate(&self, batch: &Batch) -> Result<()> {
        let (images, texts) = parted(batch);
        for (tower, some) in [(&self.text, texts), (&self.images, images)] {
            if !some.is_empty() {
                tower.calibrate(&batch.some(&some))?;
            }
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        self.text.limits()
    }

    fn token_budget(&self) -> TokenBudget {
        self.text.token_budget()
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

/// Returns the images and the texts of a batch.
fn parted(batch: &Batch) -> (Vec<usize>, Vec<usize>) {
    (0..batch.len()).partition(|text| batch.images[*text].is_some())
}
