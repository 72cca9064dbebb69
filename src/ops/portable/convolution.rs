//! Short convolution by candle's tensors: a gather of rows for each tap.

use candle_core::Tensor;

use super::Portable;
use crate::batch::Batch;
use crate::error::Result;
use crate::ops::ShortConvolution;

impl Portable {
    pub(super) fn convolved(&self, bcx: &Tensor, batch: &Batch, parameters: &ShortConvolution<Self>) -> Result<Tensor> {
        let (tokens, (count, width)) = (bcx.dim(0)?, parameters.taps.dims2()?);
        let part = |index: usize| bcx.narrow(1, index * width, width);
        let products = (part(0)? * part(2)?)?;
        // The row after the last stands for tokens before a text.
        let products = Tensor::cat(&[&products, &products.zeros_like()?.narrow(0, 0, 1)?], 0)?;
        let positions = batch.positions();
        let mut sum = Tensor::zeros((tokens, width), bcx.dtype(), &self.device)?;
        if let Some(bias) = &parameters.bias {
            sum = sum.broadcast_add(bias)?;
        }
        for tap in 0..count {
            let back = count - 1 - tap;
            let row = |(token, position): (usize, &u32)| match *position as usize >= back {
                true => (token - back) as u32,
                false => tokens as u32,
            };
            let rows: Vec<_> = positions.iter().enumerate().map(row).collect();
            let seen = products.index_select(&Tensor::from_vec(rows, tokens, &self.device)?, 0)?;
            sum = (sum + seen.broadcast_mul(&parameters.taps.narrow(0, tap, 1)?)?)?;
        }
        Ok((part(1)? * sum)?)
    }
}
