//! Collector of late-interaction vectors: one for each token that is kept.

use std::collections::HashSet;
use std::sync::Mutex;

use super::collect::{Collect, Collected, EMBEDDINGS, into_inner};
use super::run::Sequence;
use crate::alloc;
use crate::error::Result;
use crate::heads::{HeadRequest, Output};
use crate::kernels::norm::normalize;
use crate::kernels::rows::RowsMut;
use crate::threads::schedule::lock;
use crate::vectors::similarity::Matrix;

/// Selection of the tokens that get a vector.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptTokens {
    /// Ids of tokens that get none.
    pub(crate) skipped: HashSet<u32>,
    /// Ids of the only tokens that get one; `None` means all.
    pub(crate) only: Option<HashSet<u32>>,
    /// True if the first token gets none.
    pub(crate) skips_first: bool,
}

impl KeptTokens {
    fn keeps(&self, position: usize, id: u32) -> bool {
        !(self.skips_first && position == 0 || self.skipped.contains(&id))
            && self.only.as_ref().is_none_or(|only| only.contains(&id))
    }
}

/// A vector for each token that is kept.
pub(crate) struct TokenRows<'a> {
    all: Mutex<Vec<Vec<f32>>>,
    columns: usize,
    kept: &'a KeptTokens,
    normalized: bool,
}

impl<'a> TokenRows<'a> {
    pub(crate) fn new(inputs: usize, columns: usize, kept: &'a KeptTokens) -> Result<Self> {
        Ok(Self { all: Mutex::new(alloc::filled(Vec::new(), inputs, EMBEDDINGS)?), columns, kept, normalized: false })
    }

    /// Divides each vector by its L2 norm if `normalized`, after truncation.
    pub(crate) fn normalized(self, normalized: bool) -> Self {
        Self { normalized, ..self }
    }
}

impl Collect for TokenRows<'_> {
    fn request(&self) -> HeadRequest {
        HeadRequest::TOKEN_VECTORS
    }

    fn store(&self, sequences: &[Sequence<'_>], output: &mut Output) -> Result<()> {
        for (sequence, tokens) in sequences.iter().zip(output.texts()) {
            let mut rows = alloc::with_capacity(tokens.len() * self.columns, EMBEDDINGS)?;
            for ((position, id), token) in sequence.tokens.ids.iter().enumerate().zip(tokens) {
                if self.kept.keeps(position, *id) {
                    rows.extend_from_slice(&output.token_vector(token)[..self.columns]);
                }
            }
            if self.normalized {
                normalize(RowsMut::packed(&mut rows, self.columns));
            }
            lock(&self.all)[sequence.index] = rows;
        }
        Ok(())
    }
}

impl Collected<TokenRows<'_>> {
    /// Returns the token vectors of all inputs, `(tokens, width)` each.
    pub(crate) fn matrices(self) -> Result<Vec<Matrix>> {
        let Self { rows: TokenRows { all, columns, .. }, which, .. } = self;
        let all = into_inner(all);
        let matrix = |vectors: Vec<f32>| Matrix::new(vectors.len() / columns, columns, vectors);
        if all.len() == which.len() {
            return all.into_iter().map(matrix).collect();
        }
        which.iter().map(|i| matrix(alloc::copied(&all[*i], EMBEDDINGS)?)).collect()
    }
}
