//! What is searched.

use crate::vectors::embeddings::Embeddings;
use crate::vectors::quantize::{Bits, Levels};
use crate::vectors::similarity::MatrixView;

/// Embeddings that are searched, in any precision.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Corpus<'a> {
    /// As computed.
    Float32(MatrixView<'a>),
    /// A byte for each dimension.
    Levels(Levels<'a>),
    /// A bit for each dimension.
    Bits(Bits<'a>),
}

impl<'a> From<MatrixView<'a>> for Corpus<'a> {
    fn from(rows: MatrixView<'a>) -> Self {
        Self::Float32(rows)
    }
}

impl<'a> From<&'a Embeddings> for Corpus<'a> {
    fn from(embeddings: &'a Embeddings) -> Self {
        Self::Float32(embeddings.into())
    }
}

impl<'a> From<Levels<'a>> for Corpus<'a> {
    fn from(rows: Levels<'a>) -> Self {
        Self::Levels(rows)
    }
}

impl<'a> From<Bits<'a>> for Corpus<'a> {
    fn from(rows: Bits<'a>) -> Self {
        Self::Bits(rows)
    }
}
