//! Short convolution, a text at a time.

use super::{Activations, Cpu};
use crate::batch::Batch;
use crate::error::Result;
use crate::kernels::convolution::{Convolution, convolve};
use crate::kernels::rows::Rows;
use crate::ops::ShortConvolution;
use crate::weights::{Array, Table};

impl Cpu {
    pub(super) fn convolved(
        &self,
        bcx: &Activations,
        batch: &Batch,
        convolution: &ShortConvolution<Self>,
    ) -> Result<Activations> {
        let ShortConvolution { taps, bias } = convolution;
        let (width, taps, bias) = (taps.width(), taps.to_array(), bias.as_ref().map(Table::to_array));
        let parameters =
            Convolution { taps: Rows::packed(taps.as_slice(), width), bias: bias.as_ref().map(Array::as_slice) };
        let mut out = self.alloc(bcx.rows, width)?;
        let mut rows = out.as_rows_mut();
        for text in batch.texts() {
            convolve(bcx.as_rows().range(text.clone()), parameters, rows.range(text));
        }
        Ok(out)
    }
}
