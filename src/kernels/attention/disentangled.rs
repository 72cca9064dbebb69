//! Disentangled attention (He et al., 2021): scores of content with position, and of position with content.

use std::ops::Range;
use std::sync::Arc;

use pulp::Simd;

use super::super::Isa;
use super::super::buffer::Buffer;
use super::super::matmul::{Accumulate, multiply};
use super::super::packed::Packed;
use super::super::rows::{Rows, RowsMut};

/// Which position vector stands for a distance.
#[derive(Clone, Debug, Default)]
pub(crate) struct PositionColumns {
    /// That of key `k` for query `q` at `k - q + longest - 1`; from there on it falls.
    pub(crate) columns: Vec<u32>,
    /// The longest text it covers, in tokens; greater distances have the vectors of the greatest in it.
    pub(crate) longest: usize,
}

impl PositionColumns {
    #[inline(always)]
    pub(crate) fn of(&self, query: usize, key: usize) -> usize {
        let column = (key + self.longest - 1).saturating_sub(query);
        self.columns[column.min(self.columns.len() - 1)] as usize
    }

    /// The least and the greatest in a text of that many tokens.
    fn ends(&self, tokens: usize) -> (usize, usize) {
        (self.of(0, tokens - 1), self.of(tokens - 1, 0))
    }
}

/// Vectors of positions, for each head; either may be absent.
pub(crate) struct Disentangled {
    /// Keys that stand for a position, transposed: `(width, positions)`.
    keys: Vec<Packed>,
    /// Queries that stand for a position, transposed.
    queries: Vec<Packed>,
    columns: Arc<PositionColumns>,
}

/// Scores of some queries, and of some keys, with positions.
#[derive(Default)]
pub(crate) struct Scratch {
    by_query: Buffer,
    by_key: Buffer,
}

impl Disentangled {
    /// `keys` and `queries` are `(positions, heads * width)`.
    pub(crate) fn new(
        isa: Isa,
        keys: Option<Rows<'_>>,
        queries: Option<Rows<'_>>,
        width: usize,
        columns: Arc<PositionColumns>,
    ) -> Self {
        let by_head = |rows: Option<Rows<'_>>| {
            let head = |rows: Rows<'_>, first| Packed::transposed(isa, &[rows.columns(first..first + width)]);
            rows.map_or_else(Vec::new, |rows| (0..rows.width()).step_by(width).map(|first| head(rows, first)).collect())
        };
        Self { keys: by_head(keys), queries: by_head(queries), columns }
    }

    /// Panels with all positions that occur in a text of that many tokens, and the first column in them.
    #[inline(always)]
    fn panels(&self, positions: &Packed, tokens: usize) -> (Range<usize>, usize) {
        let (least, greatest) = self.columns.ends(tokens);
        let mut panels = 0..positions.panels();
        while panels.len() > 1 && positions.columns_of(panels.start..panels.start + 1).end <= least {
            panels.start += 1;
        }
        while panels.len() > 1 && positions.columns_of(panels.end - 1..panels.end).start > greatest {
            panels.end -= 1;
        }
        let first = positions.columns_of(panels.clone()).start;
        (panels, first)
    }

    /// The scores of some of a text's keys with positions, which [`Disentangled::add`] adds.
    #[inline(always)]
    pub(super) fn by_key<S: Simd>(&self, simd: S, keys: Rows<'_>, tokens: usize, head: usize, scratch: &mut Scratch) {
        if let Some(positions) = self.queries.get(head) {
            self.product(simd, keys, positions, tokens, &mut scratch.by_key);
        }
    }

    /// Adds to scores those of content with position, and of position with content. The first of the queries is at
    /// `place`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "a block of a head's scores is this much")]
    pub(super) fn add<S: Simd>(
        &self,
        simd: S,
        queries: Rows<'_>,
        place: usize,
        keys: Range<usize>,
        tokens: usize,
        head: usize,
        scratch: &mut Scratch,
        mut scores: RowsMut<'_>,
    ) {
        if let Some(positions) = self.keys.get(head) {
            let (first, stride) = self.product(simd, queries, positions, tokens, &mut scratch.by_query);
            for i in 0..scores.count() {
                let by_query = &scratch.by_query[i * stride..][..stride];
                for (score, key) in scores.row(i).iter_mut().zip(keys.clone()) {
                    *score += by_query[self.columns.of(place + i, key) - first];
                }
            }
        }
        if let Some(positions) = self.queries.get(head) {
            let (panels, first) = self.panels(positions, tokens);
            let stride = stride(positions, panels);
            for i in 0..scores.count() {
                let by_key = scratch.by_key.chunks_exact(stride);
                for ((score, key), by_key) in scores.row(i).iter_mut().zip(keys.clone()).zip(by_key) {
                    *score += by_key[self.columns.of(place + i, key) - first];
                }
            }
        }
    }

    /// Rows' products with the positions that a text has; gives the first position and how far rows are apart.
    #[inline(always)]
    fn product<S: Simd>(
        &self,
        simd: S,
        rows: Rows<'_>,
        positions: &Packed,
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

/// Numbers from one row of products to the next: a multiple of every vector.
fn stride(positions: &Packed, panels: Range<usize>) -> usize {
    positions.columns_of(panels).len().next_multiple_of(16)
}
