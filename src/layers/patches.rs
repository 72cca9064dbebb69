//! Patches of images (Dosovitskiy et al., 2020): a linear layer on the pixels of each.

use super::Parameters;
use crate::alloc;
use crate::batch::Batch;
use crate::config::Activation;
use crate::error::Result;
use crate::images::ImageShape;
use crate::ops::Ops;

pub(crate) struct Patches<O: Ops> {
    linear: O::Linear,
    /// Numbers of a patch.
    width: usize,
}

impl<O: Ops> Patches<O> {
    /// Loads the layer from a convolution's weight, `(hidden, 3, patch, patch)`.
    pub(crate) fn load(
        parameters: &Parameters<'_, O>,
        name: &str,
        shape: ImageShape,
        hidden: usize,
        biased: bool,
    ) -> Result<Self> {
        let width = shape.patch_width();
        let sizes = [hidden, width / (shape.patch * shape.patch), shape.patch, shape.patch];
        let mut weight = parameters.array(&format!("{name}.weight"), &sizes)?;
        weight.shape = vec![hidden, width];
        let bias = biased.then(|| parameters.array(&format!("{name}.bias"), &[hidden])).transpose()?;
        Ok(Self { linear: parameters.ops.linear_layer(&[weight], bias.as_ref())?, width })
    }

    /// Adds the patches of a batch's images to their tokens' vectors.
    pub(crate) fn add(&self, ops: &O, x: O::Tensor, batch: &Batch) -> Result<O::Tensor> {
        let is_patch = |(_, id): &(usize, &u32)| **id == ImageShape::PATCH;
        let rows: Vec<u32> = batch.input_ids.iter().enumerate().filter(is_patch).map(|(row, _)| row as u32).collect();
        let mut pixels = alloc::with_capacity(rows.len().saturating_mul(self.width), "the pixels of a micro-batch")?;
        batch.images.iter().flatten().for_each(|image| image.patches(&mut pixels));
        let patches = ops.linear(&ops.tensor(pixels, self.width)?, &self.linear, Activation::Identity)?;
        ops.add_rows(x, &rows, &patches, &vec![1.0; rows.len()])
    }
}
