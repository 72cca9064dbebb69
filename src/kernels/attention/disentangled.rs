//! Disentangled attention (He et al., 2021): scores of content with position, and of position with content.

use std::ops::Range;
use std::sync::Arc;

use pulp::Simd;

use super::super::Isa;
use super::super::buffer::Buffer;
use super::super::matmul::{Accumulate, multiply};
use super::super::panels::Panels;
use super::super::rows::{Rows, RowsMut};
use crate::error::Result;

/// Index of the position vector for each distance of query and key.
#[derive(Clone, Debug, Default)]
pub(crate) struct PositionColumns {
    /// The index for key `k` and query `q` at `k - q + longest - 1`; indices fall along the vector.
    pub(crate) columns: Vec<u32>,
    /// Length of the longest text covered, in tokens. Greater distances share the vectors of the greatest one covered.
    pub(crate) longest: usize,
}

impl PositionColumns {
    /// Returns the index for a query and a key.
    #[inline(always)]
    pub(crate) fn of(&self, query: usize, key: usize) -> usize {
        let column = (key + self.longest - 1).saturating_sub(query);
        self.columns[column.min(self.columns.len() - 1)] as usize
    }

    /// Returns the least and the greatest index in a text of so many tokens.
    fn bounds(&self, tokens: usize) -> (usize, usize) {
        (self.of(0, tokens - 1), self.of(tokens - 1, 0))
    }
}

/// Position vectors of each head; keys or queries may be absent.
pub(crate) struct Disentangled {
    /// Keys of positions, transposed: `(width, positions)`.
    keys: Vec<Panels>,
    /// Queries of positions, transposed.
    queries: Vec<Panels>,
    columns: Arc<PositionColumns>,
}

/// Scores of a block of queries, and of a block of keys, with positions.
#[derive(Default)]
pub(crate) struct PositionScratch {
    by_query: Buffer,
    by_key: Buffer,
}

impl Disentangled {
    /// Packs `keys` and `queries`, `(positions, heads * width)`, by head.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn new(
        isa: Isa,
        keys: Option<Rows<'_>>,
        queries: Option<Rows<'_>>,
        width: usize,
        columns: Arc<PositionColumns>,
    ) -> Result<Self> {
        let by_head = |rows: Option<Rows<'_>>| -> Result<Vec<Panels>> {
            let Some(rows) = rows else { return Ok(Vec::new()) };
            let head = |first| Panels::transposed(isa, &[rows.columns(first..first + width)]);
            (0..rows.width()).step_by(width).map(head).collect()
        };
        Ok(Self { keys: by_head(keys)?, queries: by_head(queries)?, columns })
    }

    /// Returns the panels with all positions of a text of so many tokens, and their first column.
    #[inline(always)]
    fn panels(&self, positions: &Panels, tokens: usize) -> (Range<usize>, usize) {
        let (least, greatest) = self.columns.bounds(tokens);
        let mut panels = 0..positions.count();
        while panels.len() > 1 && positions.columns_of(panels.start..panels.start + 1).end <= least {
            panels.start += 1;
        }
        while panels.len() > 1 && positions.columns_of(panels.end - 1..panels.end).start > greatest {
            panels.end -= 1;
        }
        let first = positions.columns_of(panels.clone()).start;
        (panels, first)
    }

    /// Computes the scores of a block of keys with positions, which [`Disentangled::add`] adds.
    #[inline(always)]
    pub(super) fn by_key<S: Simd>(
        &self,
        simd: S,
        keys: Rows<'_>,
        tokens: usize,
        head: usize,
        scratch: &mut PositionScratch,
    ) {
        if let Some(positions) = self.queries.get(head) {
            self.product(simd, keys, positions, tokens, &mut scratch.by_key);
        }
    }

    /// Adds the scores of content with position and of position with content to scores `(keys, queries)`. The first query is
    /// at `position`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "a block of scores needs its head, queries, keys and text")]
    pub(super) fn add<S: Simd>(
        &self,
        simd: S,
        queries: Rows<'_>,
        position: usize,
        keys: Range<usize>,
        tokens: usize,
        head: usize,
        scratch: &mut PositionScratch,
        mut scores: RowsMut<'_>,
    ) {
        if let Some(positions) = self.keys.get(head) {
            let (first, stride) = self.product(simd, queries, positions, tokens, &mut scratch.by_query);
            for (i, key) in keys.clone().enumerate() {
                let by_query = scratch.by_query.chunks_exact(stride);
                for ((score, query), by_query) in scores.row(i).iter_mut().zip(position..).zip(by_query) {
                    *score += by_query[self.columns.of(query, key) - first];
                }
            }
        }
        if let Some(positions) = self.queries.get(head) {
            let (panels, first) = self.panels(positions, tokens);
            let stride = stride(positions, panels);
            for (i, key) in keys.enumerate() {
                let by_key = &scratch.by_key[i * stride..][..stride];
                for (score, query) in scores.row(i).iter_mut().zip(position..) {
                    *score += by_key[self.columns.of(query, key) - first];
                }
            }
        }
    }

    /// Multiplies rows by the positions of a text. Returns the first position, and the stride of `out`.
    #[inline(always)]
    fn product<S: Simd>(
        &self,
        simd: S,
        rows: Rows<'_>,
        positions: &Panels,
        tokens: usize,
        out: &mut Buffer,
    ) -> (usize, usize) {
        let (panels, first) = self.panels(positions, tokens);
        let stride = stride(positions, panels.clone());
        out.resize(rows.count() * stride);
        let width = positions.columns_of(panels.clone()).len();
        let products = RowsMut::new(out, rows.count(), width, stride);
        multiply(simd, rows, positions, panels, Accumulate::Zero, products);
        (first, stride)
    }
}

/// Stride of rows of products: a multiple of the length of every vector.
fn stride(positions: &Panels, panels: Range<usize>) -> usize {
    positions.columns_of(panels).len().next_multiple_of(16)
}
