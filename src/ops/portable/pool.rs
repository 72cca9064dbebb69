//! Pooling by candle's tensors, in float32.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::Portable;
use super::layout::{Group, mask};
use crate::batch::Batch;
use crate::config::PoolingMode;
use crate::error::Result;
use crate::ops::DeviceBatch;

impl Portable {
    /// Pools each text into one row, without the tokens that the batch excludes.
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
                let excluded = |position, kept: Range<usize>| mask(!kept.contains(&position));
                let excluded = self.per_position(group, batch, excluded)?;
                let x = group.padded(x)?.reshape((group.count(), group.length, ()))?;
                // candle's maximum skips NaN, which the sum keeps. Padding repeats a token of the text itself.
                Ok((x.broadcast_add(&excluded.unsqueeze(2)?)?.max(1)? + (x.sum(1)? * 0.0)?)?)
            }),
            PoolingMode::Mean => self.weighted(x, batch, |_, kept| 1.0 / kept.len() as f32),
            PoolingMode::MeanSqrtLen => self.weighted(x, batch, |_, kept| 1.0 / (kept.len() as f32).sqrt()),
            PoolingMode::WeightedMean => self.weighted(x, batch, |position, kept| {
                // Sum of the kept positions, which count from 1.
                let sum = kept.len() as f32 * (kept.start + kept.end + 1) as f32 / 2.0;
                (position + 1) as f32 / sum
            }),
        }
    }

    /// Sums up rows with the weights of their positions; excluded ones weigh 0.
    fn weighted(
        &self,
        x: &Tensor,
        batch: &DeviceBatch<'_, Self>,
        weight: impl Fn(usize, Range<usize>) -> f32,
    ) -> Result<Tensor> {
        self.by_group(batch, |group| {
            let weight =
                |position, kept: Range<usize>| if kept.contains(&position) { weight(position, kept) } else { 0.0 };
            let weights = self.per_position(group, batch, weight)?;
            let x = group.padded(x)?.reshape((group.count(), group.length, ()))?;
            Ok(weights.unsqueeze(1)?.matmul(&x)?.squeeze(1)?)
        })
    }

    fn by_group(&self, batch: &DeviceBatch<'_, Self>, pool: impl Fn(&Group) -> Result<Tensor>) -> Result<Tensor> {
        Ok(Tensor::cat(&batch.layout.groups.iter().map(pool).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Returns a number for each position, by the kept positions of its text: `(texts, length)`.
    fn per_position(
        &self,
        group: &Group,
        batch: &Batch,
        number: impl Fn(usize, Range<usize>) -> f32,
    ) -> Result<Tensor> {
        let texts = group.lengths.iter().zip(&batch.excluded[group.first..]);
        let numbers =
            texts.flat_map(|(length, skip)| (0..group.length).map(|position| number(position, *skip..*length)));
        let numbers = numbers.collect::<Vec<_>>();
        Ok(Tensor::from_vec(numbers, (group.count(), group.length), &self.device)?)
    }

    fn rows(&self, x: &Tensor, rows: impl Iterator<Item = usize>) -> Result<Tensor> {
        let rows = Tensor::from_iter(rows.map(|row| row as u32).collect::<Vec<_>>(), &self.device)?;
        Ok(x.to_dtype(DType::F32)?.index_select(&rows, 0)?)
    }
}
