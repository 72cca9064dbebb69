//! Pooling by candle's tensors, in float32.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::Portable;
use super::layout::{Group, forbidden};
use crate::batch::Batch;
use crate::config::PoolingMode;
use crate::error::Result;
use crate::ops::DeviceBatch;

impl Portable {
    /// One row a text, without the tokens that the batch excludes.
    pub(super) fn pool_by(&self, mode: PoolingMode, x: &Tensor, batch: &DeviceBatch<'_, Self>) -> Result<Tensor> {
        let texts = || batch.texts().zip(&batch.excluded);
        match mode {
            PoolingMode::Cls => {
                let first = texts().map(|(text, skip)| text.start + if text.len() <= *skip { 0 } else { *skip });
                self.rows(x, first)
            }
            PoolingMode::LastToken => {
                let last = self.rows(x, batch.texts().map(|text| text.end - 1))?;
                if texts().all(|(text, skip)| text.len() > *skip) {
                    return Ok(last);
                }
                let kept = texts().map(|(text, skip)| f32::from(u8::from(text.len() > *skip)));
                let kept = Tensor::from_iter(kept.collect::<Vec<_>>(), &self.device)?.unsqueeze(1)?;
                Ok(last.broadcast_mul(&kept)?)
            }
            PoolingMode::Max => self.by_group(batch, |group| {
                let left_out = |place, kept: Range<usize>| forbidden(!kept.contains(&place));
                let left_out = self.by_place(group, batch, left_out)?;
                let x = group.filled(x)?.reshape((group.count(), group.length, ()))?;
                // candle's largest number passes NaN over; what fills a text up repeats a token of its own.
                Ok((x.broadcast_add(&left_out.unsqueeze(2)?)?.max(1)? + (x.sum(1)? * 0.0)?)?)
            }),
            PoolingMode::Mean => self.weighted(x, batch, |_, kept| 1.0 / kept.len() as f32),
            PoolingMode::MeanSqrtLen => self.weighted(x, batch, |_, kept| 1.0 / (kept.len() as f32).sqrt()),
            PoolingMode::WeightedMean => self.weighted(x, batch, |place, kept| {
                // The sum of the places that are kept, which count from 1.
                let sum = kept.len() as f32 * (kept.start + kept.end + 1) as f32 / 2.0;
                (place + 1) as f32 / sum
            }),
        }
    }

    /// Sums of rows with the weights that places have where those are kept.
    fn weighted(
        &self,
        x: &Tensor,
        batch: &DeviceBatch<'_, Self>,
        weight: impl Fn(usize, Range<usize>) -> f32,
    ) -> Result<Tensor> {
        self.by_group(batch, |group| {
            let weight = |place, kept: Range<usize>| if kept.contains(&place) { weight(place, kept) } else { 0.0 };
            let weights = self.by_place(group, batch, weight)?;
            let x = group.filled(x)?.reshape((group.count(), group.length, ()))?;
            Ok(weights.unsqueeze(1)?.matmul(&x)?.squeeze(1)?)
        })
    }

    fn by_group(&self, batch: &DeviceBatch<'_, Self>, pool: impl Fn(&Group) -> Result<Tensor>) -> Result<Tensor> {
        Ok(Tensor::cat(&batch.layout.groups.iter().map(pool).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// A number by each place and those of its text that are kept, `(texts, length)`.
    fn by_place(&self, group: &Group, batch: &Batch, number: impl Fn(usize, Range<usize>) -> f32) -> Result<Tensor> {
        let texts = group.lengths.iter().zip(&batch.excluded[group.first..]);
        let numbers = texts.flat_map(|(length, skip)| (0..group.length).map(|place| number(place, *skip..*length)));
        let numbers = numbers.collect::<Vec<_>>();
        Ok(Tensor::from_vec(numbers, (group.count(), group.length), &self.device)?)
    }

    fn rows(&self, x: &Tensor, rows: impl Iterator<Item = usize>) -> Result<Tensor> {
        let rows = Tensor::from_iter(rows.map(|row| row as u32).collect::<Vec<_>>(), &self.device)?;
        Ok(x.to_dtype(DType::F32)?.index_select(&rows, 0)?)
    }
}
