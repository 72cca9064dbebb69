//! Embeddings to search in.

use crate::vectors::embeddings::Embeddings;
use crate::vectors::quantize::{BinaryView, Int8View};
use crate::vectors::similarity::{Matrix, MatrixView};

/// Embeddings to search in, of any precision.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Corpus<'a> {
    /// float32.
    Float32(MatrixView<'a>),
    /// A byte for each dimension.
    Int8(Int8View<'a>),
    /// A bit for each dimension.
    Binary(BinaryView<'a>),
}

impl<'a> From<Int8View<'a>> for Corpus<'a> {
    fn from(rows: Int8View<'a>) -> Self {
        Self::Int8(rows)
    }
}

impl<'a> From<BinaryView<'a>> for Corpus<'a> {
    fn from(rows: BinaryView<'a>) -> Self {
        Self::Binary(rows)
    }
}

/// Converts what a [`MatrixView`] is made from.
macro_rules! float32 {
    ($($type:ty),*) => {$(
        impl<'a> From<$type> for Corpus<'a> {
            fn from(rows: $type) -> Self {
                Self::Float32(rows.into())
            }
        }
    )*};
}
float32!(MatrixView<'a>, &'a Matrix, &'a Embeddings, &'a [f32]);
