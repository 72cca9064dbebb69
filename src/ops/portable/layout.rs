//! Layout of a micro-batch on a device: texts of similar lengths form a group, padded to its longest text. So attention and
//! pooling take a few launches for many texts.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, TensorId};

use crate::batch::Batch;
use crate::error::Result;
use crate::ops::{QueryScale, Window};

/// Groups of a micro-batch.
pub(crate) struct Layout {
    pub(super) groups: Vec<Group>,
}

/// Neighbouring texts of similar lengths.
pub(super) struct Group {
    /// Index of its first text in the batch.
    pub(super) first: usize,
    /// Its rows in the batch.
    rows: Range<usize>,
    /// Number of tokens of each text.
    pub(super) lengths: Vec<usize>,
    /// Number of tokens of each text that attention sees.
    keys: Vec<usize>,
    /// Number of tokens of the longest text.
    pub(super) length: usize,
    /// Indices that pad rows, and that remove the padding; none for texts of one length.
    padding: Option<(Tensor, Tensor)>,
    /// Mask of scores, `(texts, 1, 1, length)`: `-infinity` for masked keys, else 0. None without masked keys.
    pub(super) key_mask: Option<Tensor>,
    made: Mutex<HashMap<Made, Tensor>>,
}

/// Tensor that the first layer makes and the others reuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Made {
    /// Rotations, by their address.
    Cosines(usize),
    Sines(usize),
    /// Biases of a table, for a range of queries.
    Biases(TensorId, usize, usize),
    /// Slopes of linear biases, by their address.
    Slopes(usize),
    /// Position columns, by their address, for a range of queries.
    Columns(usize, usize, usize),
    /// Mask of a sliding window, for a range of queries.
    WindowMask(Window, usize, usize),
    /// Index of the last row of each text.
    Last,
}

impl Layout {
    pub(super) fn new(batch: &Batch, device: &Device, dtype: DType) -> Result<Self> {
        let (texts, keys): (Vec<_>, Vec<_>) = (batch.texts().collect(), batch.keys().map(|keys| keys.len()).collect());
        let group = |group: Range<usize>| Group::new(group.start, &texts[group.clone()], &keys[group], device, dtype);
        Ok(Self { groups: batch.alike().into_iter().map(group).collect::<Result<_>>()? })
    }
}

impl Group {
    fn new(first: usize, texts: &[Range<usize>], keys: &[usize], device: &Device, dtype: DType) -> Result<Self> {
        let rows = texts.first().map_or(0, |text| text.start)..texts.last().map_or(0, |text| text.end);
        let lengths: Vec<_> = texts.iter().map(|text| text.len()).collect();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let padding = lengths.iter().any(|own| *own < length).then(|| {
            // Padding repeats the text's last row; any finite row would do.
            let padded_rows = texts.iter().flat_map(|text| {
                (0..length).map(|position| (text.start - rows.start + position.min(text.len() - 1)) as u32)
            });
            let padded_rows = Tensor::from_iter(padded_rows.collect::<Vec<_>>(), device)?;
            let own = lengths.iter().enumerate().flat_map(|(i, own)| (0..*own).map(move |at| (i * length + at) as u32));
            Ok((padded_rows, Tensor::from_iter(own.collect::<Vec<_>>(), device)?))
        });
        let padding: Option<Result<_>> = padding;
        let key_mask = keys.iter().any(|keys| *keys < length).then(|| -> Result<Tensor> {
            let scores = keys.iter().flat_map(|keys| (0..length).map(move |key| mask(key >= *keys)));
            let scores = Tensor::from_iter(scores.collect::<Vec<_>>(), device)?;
            Ok(scores.reshape((texts.len(), 1, 1, length))?.to_dtype(dtype)?)
        });
        let (padding, key_mask) = (padding.transpose()?, key_mask.transpose()?);
        Ok(Self { first, rows, lengths, keys: keys.to_vec(), length, padding, key_mask, made: Mutex::default() })
    }

    /// Number of texts.
    pub(super) fn count(&self) -> usize {
        self.lengths.len()
    }

    /// Pads the group's rows of the batch: `(texts * length, width)`.
    pub(super) fn padded(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.narrow(0, self.rows.start, self.rows.len())?;
        Ok(match &self.padding {
            Some((padded_rows, _)) => rows.index_select(padded_rows, 0)?,
            None => rows,
        })
    }

    /// Removes the padding from `(texts, length, width)`.
    pub(super) fn unpadded(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.flatten(0, 1)?;
        Ok(match &self.padding {
            Some((_, rows)) => x.index_select(rows, 0)?,
            None => x,
        })
    }

    /// Returns the factor of each query, `(texts, 1, length, 1)`.
    pub(super) fn scales(&self, scale: QueryScale, device: &Device) -> Result<Tensor> {
        let of_text = |keys| (0..self.length).map(move |position| scale.of(position, keys));
        let scales = self.keys.iter().flat_map(|keys| of_text(*keys)).collect();
        Ok(Tensor::from_vec(scales, (self.count(), 1, self.length, 1), device)?)
    }

    /// Returns the last row of each text, `(texts, width)`, of `(texts, length, width)`.
    pub(super) fn last(&self, x: &Tensor) -> Result<Tensor> {
        let last = self.make(Made::Last, || {
            let last = self.lengths.iter().enumerate().map(|(i, own)| (i * self.length + own - 1) as u32);
            Ok(Tensor::from_iter(last.collect::<Vec<_>>(), x.device())?)
        })?;
        Ok(x.flatten(0, 1)?.index_select(&last, 0)?)
    }

    /// Returns a tensor that is made once for all layers.
    pub(super) fn make(&self, what: Made, make: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tensor) = made().get(&what) {
            return Ok(tensor.clone());
        }
        let tensor = make()?;
        made().insert(what, tensor.clone());
        Ok(tensor)
    }
}

/// Returns the addend that masks a score, or a number before a maximum.
pub(super) fn mask(masked: bool) -> f32 {
    if masked { f32::NEG_INFINITY } else { 0.0 }
}
