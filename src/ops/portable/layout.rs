//! How a micro-batch lies on a device: texts of similar lengths side by side, the shorter ones filled up, so that attention
//! and pooling are a few launches for many texts.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, TensorId};

use crate::batch::Batch;
use crate::error::Result;
use crate::ops::Window;

pub(crate) struct Layout {
    pub(super) groups: Vec<Group>,
}

/// Neighbouring texts of similar lengths.
pub(super) struct Group {
    /// Which of the batch's texts comes first.
    pub(super) first: usize,
    /// Its rows among the batch's.
    rows: Range<usize>,
    /// Tokens of each text.
    pub(super) lengths: Vec<usize>,
    /// Tokens of the longest.
    pub(super) length: usize,
    /// Where not all texts are the longest: from places to rows, and from rows to places.
    filling: Option<(Tensor, Tensor)>,
    /// What is added to scores, `(texts, 1, 1, length)`: `-infinity` for keys that aren't attended to; none where all are.
    pub(super) unattended: Option<Tensor>,
    made: Mutex<HashMap<Made, Tensor>>,
}

/// What is made for a group's length at the first layer that needs it, and kept for the others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Made {
    /// Of rotary positions, by where they are in memory.
    Cosines(usize),
    Sines(usize),
    /// Of the table of biases, for queries from there to there.
    Biases(TensorId, usize, usize),
    /// Of position columns, by where they are in memory, for such queries.
    Columns(usize, usize, usize),
    /// Keys that such queries don't see.
    Unseen(Window, usize, usize),
    /// The last row of each text.
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
        let filling = lengths.iter().any(|own| *own < length).then(|| {
            // What fills a text up is its last row again: any would do, as long as it's a number.
            let places = texts
                .iter()
                .flat_map(|text| (0..length).map(|place| (text.start - rows.start + place.min(text.len() - 1)) as u32));
            let places = Tensor::from_iter(places.collect::<Vec<_>>(), device)?;
            let own = lengths.iter().enumerate().flat_map(|(i, own)| (0..*own).map(move |at| (i * length + at) as u32));
            Ok((places, Tensor::from_iter(own.collect::<Vec<_>>(), device)?))
        });
        let filling: Option<Result<_>> = filling;
        let unattended = keys.iter().any(|keys| *keys < length).then(|| -> Result<Tensor> {
            let scores = keys.iter().flat_map(|keys| (0..length).map(move |key| forbidden(key >= *keys)));
            let scores = Tensor::from_iter(scores.collect::<Vec<_>>(), device)?;
            Ok(scores.reshape((texts.len(), 1, 1, length))?.to_dtype(dtype)?)
        });
        let (filling, unattended) = (filling.transpose()?, unattended.transpose()?);
        Ok(Self { first, rows, lengths, length, filling, unattended, made: Mutex::default() })
    }

    /// How many texts.
    pub(super) fn count(&self) -> usize {
        self.lengths.len()
    }

    /// Its rows of the batch's, filled up: `(texts * length, width)`.
    pub(super) fn filled(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.narrow(0, self.rows.start, self.rows.len())?;
        Ok(match &self.filling {
            Some((places, _)) => rows.index_select(places, 0)?,
            None => rows,
        })
    }

    /// The rows of `(texts, length, width)` that fill nothing up.
    pub(super) fn unfilled(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.flatten(0, 1)?;
        Ok(match &self.filling {
            Some((_, rows)) => x.index_select(rows, 0)?,
            None => x,
        })
    }

    /// The last row of each text, `(texts, width)`, of `(texts, length, width)`.
    pub(super) fn last(&self, x: &Tensor) -> Result<Tensor> {
        let last = self.make(Made::Last, || {
            let last = self.lengths.iter().enumerate().map(|(i, own)| (i * self.length + own - 1) as u32);
            Ok(Tensor::from_iter(last.collect::<Vec<_>>(), x.device())?)
        })?;
        Ok(x.flatten(0, 1)?.index_select(&last, 0)?)
    }

    /// What is made once for all layers.
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

/// What is added to a score, or to a number of which the largest is wanted.
pub(super) fn forbidden(forbidden: bool) -> f32 {
    if forbidden { f32::NEG_INFINITY } else { 0.0 }
}
