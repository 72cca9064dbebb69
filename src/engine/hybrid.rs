//! Collector of the rows of several heads, which share a forward pass.

use super::collect::{Collect, Collected, DenseRows, SparseRows};
use super::run::Sequence;
use super::tokens::TokenRows;
use crate::error::Result;
use crate::heads::{HeadRequest, Output};

/// Collectors of the requested heads.
#[derive(Default)]
pub(crate) struct HybridRows<'a> {
    pub(crate) dense: Option<DenseRows>,
    pub(crate) sparse: Option<SparseRows<'a>>,
    pub(crate) multi_vector: Option<TokenRows<'a>>,
}

impl Collect for HybridRows<'_> {
    fn request(&self) -> HeadRequest {
        HeadRequest {
            pooled: self.dense.is_some(),
            sparse: self.sparse.is_some(),
            token_vectors: self.multi_vector.is_some(),
            token_embeddings: false,
        }
    }

    fn store(&self, sequences: &[Sequence<'_>], output: &mut Output) -> Result<()> {
        self.dense.as_ref().map_or(Ok(()), |rows| rows.store(sequences, output))?;
        self.sparse.as_ref().map_or(Ok(()), |rows| rows.store(sequences, output))?;
        self.multi_vector.as_ref().map_or(Ok(()), |rows| rows.store(sequences, output))
    }
}

impl<'a> Collected<HybridRows<'a>> {
    /// Returns the rows of one head.
    pub(crate) fn of<C>(&mut self, head: impl FnOnce(&mut HybridRows<'a>) -> Option<C>) -> Option<Collected<C>> {
        let rows = head(&mut self.rows)?;
        Some(Collected { rows, which: self.which.clone(), truncated: self.truncated })
    }
}
