//! Numbers of a packed weight: in memory of their own, or in a mapped file that processes share.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::buffer::Buffer;
use super::prefetch::LINE;
use crate::mapped::Mapped;

/// Numbers of a packed weight, the first at the beginning of a cache line.
#[derive(Default)]
pub(crate) struct Numbers {
    own: Buffer,
    /// Part of a file that holds the numbers instead.
    mapped: Option<MappedNumbers>,
}

/// Part of a mapped file that holds whole numbers of four bytes.
#[derive(Clone)]
pub(crate) struct MappedNumbers {
    file: Arc<Mapped>,
    bytes: Range<usize>,
}

impl MappedNumbers {
    /// Returns part of a file; `None` if the file lacks the bytes, or they don't hold whole numbers from a cache line on.
    pub(crate) fn new(file: Arc<Mapped>, bytes: Range<usize>) -> Option<Self> {
        let whole = bytes.start.is_multiple_of(LINE) && bytes.len().is_multiple_of(size_of::<f32>());
        let inside = bytes.start <= bytes.end && bytes.end <= file.len();
        (whole && inside).then_some(Self { file, bytes })
    }
}

impl Deref for MappedNumbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.file[self.bytes.clone()])
    }
}

impl Numbers {
    /// Returns memory of their own to write numbers into.
    #[inline(always)]
    pub(crate) fn own(&mut self) -> &mut Buffer {
        self.mapped = None;
        &mut self.own
    }
}

impl From<MappedNumbers> for Numbers {
    fn from(mapped: MappedNumbers) -> Self {
        Self { own: Buffer::default(), mapped: Some(mapped) }
    }
}

impl Deref for Numbers {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        match &self.mapped {
            Some(numbers) => numbers,
            None => &self.own,
        }
    }
}
