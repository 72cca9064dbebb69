//! Pooling by candle's tensors, in float32.

use candle_core::{DType, Tensor};

use super::Portable;
use super::layout::{Group, forbidden};
use crate::config::PoolingMode;
use crate::error::Result;
use crate::ops::DeviceBatch;

impl Portable {
    /// One row a text, without the first `skip` tokens of each.
    pub(super) fn pool_by(
        &self,
        mode: PoolingMode,
        x: &Tensor,
        batch: &DeviceBatch<'_, Self>,
        skip: usize,
    ) -> Result<Tensor> {
        let nothing_kept = batch.texts().any(|text| text.len() <= skip);
        match mode {
            PoolingMode::Cls => {
                let first = batch.texts().map(|text| text.start + if text.len() <= skip { 0 } else { skip });
                self.rows(x, first)
            }
            PoolingMode::LastToken => {
                let last = self.rows(x, batch.texts().map(|text| text.end - 1))?;
                if !nothing_kept {
                    return Ok(last);
                }
                let kept = batch.texts().map(|text| f32::from(u8::from(text.len() > skip)));
                let kept = Tensor::from_iter(kept.collect::<Vec<_>>(), &self.device)?.unsqueeze(1)?;
                Ok(last.broadcast_mul(&kept)?)
            }
            PoolingMode::Max => self.by_group(batch, |group| {
                let left_out = self.by_place(group, |place, length| forbidden(place < skip || place >= length))?;
                let x = group.filled(x)?.reshape((group.count(), group.length, ()))?;
                Ok(x.broadcast_add(&left_out.unsqueeze(2)?)?.max(1)?)
            }),
            PoolingMode::Mean => self.weighted(x, batch, skip, |_, kept| 1.0 / kept as f32),
            PoolingMode::MeanSqrtLen => self.weighted(x, batch, skip, |_, kept| 1.0 / (kept as f32).sqrt()),
            PoolingMode::WeightedMean => self.weighted(x, batch, skip, |place, kept| {
                // The sum of the places that are kept, which count from 1.
                let sum = kept as f32 * (skip + skip + kept + 1) as f32 / 2.0;
                (place + 1) as f32 / sum
            }),
        }
    }

    /// Sums of rows with the weights that places have where so many are kept.
    fn weighted(
        &self,
        x: &Tensor,
        batch: &DeviceBatch<'_, Self>,
        skip: usize,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Result<Tensor> {
        self.by_group(batch, |group| {
            let weights = self.by_place(group, |place, length| match place >= skip && place < length {
                true => weight(place, length - skip),
                false => 0.0,
            })?;
            let x = group.filled(x)?.reshape((group.count(), group.length, ()))?;
            Ok(weights.unsqueeze(1)?.matmul(&x)?.squeeze(1)?)
        })
    }

    fn by_group(&self, batch: &DeviceBatch<'_, Self>, pool: impl Fn(&Group) -> Result<Tensor>) -> Result<Tensor> {
        Ok(Tensor::cat(&batch.layout.groups.iter().map(pool).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// A number by each place and its text's length, `(texts, length)`.
    fn by_place(&self, group: &Group, number: impl Fn(usize, usize) -> f32) -> Result<Tensor> {
        let numbers = group.lengths.iter().flat_map(|length| (0..group.length).map(|place| number(place, *length)));
        let numbers = numbers.collect::<Vec<_>>();
        Ok(Tensor::from_vec(numbers, (group.count(), group.length), &self.device)?)
    }

    fn rows(&self, x: &Tensor, rows: impl Iterator<Item = usize>) -> Result<Tensor> {
        let rows = Tensor::from_iter(rows.map(|row| row as u32).collect::<Vec<_>>(), &self.device)?;
        Ok(x.to_dtype(DType::F32)?.index_select(&rows, 0)?)
    }
}
