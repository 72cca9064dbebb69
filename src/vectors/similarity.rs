//! Similarity of embeddings: each with each, or pair by pair.

use crate::alloc;
use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::buffer::Buffer;
use crate::observer::{NoObserver, Observer};
use crate::process;
use crate::threads::schedule;

mod matrix;
mod scorer;

pub(crate) use matrix::RowSource;
pub use matrix::{Matrix, MatrixView, RowIter};
pub(crate) use scorer::Scorer;

impl Similarity {
    /// Turns a kernel's sum into the score.
    fn score(self, sum: f32) -> f32 {
        match self {
            Self::Cosine | Self::Dot => sum,
            // Subtracted, not negated: no difference is 0, not -0.
            Self::Euclidean => 0.0 - sum.sqrt(),
            Self::Manhattan => 0.0 - sum,
        }
    }
}

/// Instruction set, thread limit and observer of a computation.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    isa: Isa,
    /// Largest number of threads, the caller's among them.
    threads: usize,
    observer: &'a dyn Observer,
}

impl<'a> Run<'a> {
    /// Uses the process's instruction set and all threads it allows.
    pub(crate) fn new(observer: Option<&'a dyn Observer>) -> Result<Self> {
        Ok(Self { isa: process::isa()?, threads: usize::MAX, observer: observer.unwrap_or(&NoObserver) })
    }

    /// Returns the number of threads to use: no more than pieces, and one for work too small to share.
    pub(crate) fn threads(&self, pieces: usize, terms: usize) -> usize {
        self.threads.min(pieces).min(1 + (terms >> 22))
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    pub(crate) fn observer(&self) -> &'a dyn Observer {
        self.observer
    }
}

/// Returns the scores of [`similarity`](super::similarity()).
pub(crate) fn similarity(kind: Similarity, a: MatrixView<'_>, b: MatrixView<'_>, run: Run<'_>) -> Result<Matrix> {
    let width = same_width(("a", a.columns), ("b", b.columns))?;
    let mut data = zeros(a.rows, b.rows)?;
    if width > 0 && !data.is_empty() {
        let tile = tile_rows(width);
        let threads = run.threads(a.rows.div_ceil(tile) * b.rows.div_ceil(tile), data.len().saturating_mul(width));
        let tiles = tiles(a, b, tile, &mut data);
        schedule::run(tiles, threads, run.observer, &|| {}, |tile, _| {
            tile.compare(kind, run.isa, width);
            Ok(())
        })?;
    }
    Ok(Matrix { rows: a.rows, columns: b.rows, data })
}

/// Returns the scores of [`pairwise_similarity`](super::pairwise_similarity).
pub(crate) fn pairwise(kind: Similarity, a: MatrixView<'_>, b: MatrixView<'_>, run: Run<'_>) -> Result<Vec<f32>> {
    let width = same_width(("a", a.columns), ("b", b.columns))?;
    if a.rows != b.rows {
        return Err(Error::argument("b", format!("must have as many rows as a, {}, got {}", a.rows, b.rows)));
    }
    let mut scores = zeros(a.rows, 1)?;
    if width == 0 {
        return Ok(scores);
    }
    let tile = tile_rows(width);
    let pieces = a.data.chunks(tile * width).zip(b.data.chunks(tile * width)).zip(scores.chunks_mut(tile));
    let threads = run.threads(a.rows.div_ceil(tile), a.data.len());
    schedule::run(pieces, threads, run.observer, &|| {}, |((a, b), out), _| {
        Scorer::default().pairwise(kind, run.isa, a, b, width, out);
        Ok(())
    })?;
    Ok(scores)
}

/// Returns the width of two arguments, each given by name and width.
///
/// # Errors
/// [`Error::InvalidArgument`] for the second one if it differs.
pub(crate) fn same_width(first: (&str, usize), second: (&'static str, usize)) -> Result<usize> {
    if first.1 == second.1 {
        return Ok(first.1);
    }
    Err(Error::argument(second.0, format!("must be as wide as {}, {}, got {}", first.0, first.1, second.1)))
}

pub(crate) fn zeros(rows: usize, columns: usize) -> Result<Vec<f32>> {
    alloc::zeros(rows.saturating_mul(columns), &format!("{rows} x {columns} scores; take fewer rows at a time"))
}

/// Returns the number of rows that a tile has on each side: 2 MiB at most, so that both and their scores stay in cache.
fn tile_rows(width: usize) -> usize {
    ((1 << 19) / width).clamp(1, 512)
}

/// Number of left rows up to which reading the right side costs more than comparing. Then the right side comes in pieces
/// that stay in the first-level cache for both norms and products.
const SMALL_SIDE: usize = 16;

/// Numbers of such a piece: 32 KiB.
const FIRST_LEVEL: usize = 1 << 13;

/// Returns the number of rows of the right side to compare at once with `rows` rows of the left one.
fn piece_rows(rows: usize, width: usize) -> usize {
    if rows <= SMALL_SIDE { (FIRST_LEVEL / width).max(1) } else { tile_rows(width) }
}

/// Some rows of each side, with the pieces of the result's rows for their scores.
struct Tile<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: Vec<&'a mut [f32]>,
}

/// Iterates over all tiles, `size` rows of `a` at a time, so that few rows of the result are cut into pieces at once.
fn tiles<'a>(
    a: MatrixView<'a>,
    b: MatrixView<'a>,
    size: usize,
    scores: &'a mut [f32],
) -> impl Iterator<Item = Tile<'a>> + Send {
    let (width, columns) = (a.columns, b.rows);
    let strips = a.data.chunks(size * width).zip(scores.chunks_mut(size.saturating_mul(columns)));
    strips.flat_map(move |(a, out)| {
        let mut pieces: Vec<_> = (0..columns.div_ceil(size)).map(|_| Vec::with_capacity(a.len() / width)).collect();
        for row in out.chunks_mut(columns) {
            row.chunks_mut(size).zip(&mut pieces).for_each(|(piece, pieces)| pieces.push(piece));
        }
        b.data.chunks(size * width).zip(pieces).map(move |(b, out)| Tile { a, b, out })
    })
}

impl Tile<'_> {
    fn compare(self, kind: Similarity, isa: Isa, width: usize) {
        let Self { a, b, mut out } = self;
        let mut scorer = Scorer::default();
        let step = piece_rows(out.len(), width);
        for (b, first) in b.chunks(step * width).zip((0..).step_by(step)) {
            let columns = b.len() / width;
            let scores = scorer.scores(kind, isa, a, b, width);
            for (out, scores) in out.iter_mut().zip(scores.chunks_exact(columns)) {
                out[first..first + columns].copy_from_slice(scores);
            }
        }
    }
}

/// A block of the score matrix: `scores.len() / columns` rows from `row` on, `columns` columns from `column` on.
pub(crate) struct Scores<'a> {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) columns: usize,
    pub(crate) scores: &'a [f32],
}

/// Calls `visit` with blocks of the scores of [`similarity`], in any order, on many threads, without materializing the
/// full score matrix. Both sides must be of one width.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn visit(
    kind: Similarity,
    a: MatrixView<'_>,
    b: &impl RowSource,
    run: Run<'_>,
    visit: impl Fn(Scores<'_>) + Sync,
) -> Result<()> {
    let width = a.columns;
    let size = tile_rows(width.max(1));
    let tiles = (0..b.rows()).step_by(size).flat_map(|j| (0..a.rows).step_by(size).map(move |i| (i, j)));
    let count = a.rows.div_ceil(size).saturating_mul(b.rows().div_ceil(size));
    let threads = run.threads(count, a.data.len().saturating_mul(b.rows()));
    schedule::run(tiles, threads, run.observer, &|| {}, |(row, column), _| {
        let a = a.some_rows(row, size);
        let (mut scorer, mut buffer) = (Scorer::default(), Buffer::default());
        let end = b.rows().min(column + size);
        let step = piece_rows(a.rows, width.max(1));
        for column in (column..end).step_by(step) {
            let columns = step.min(end - column);
            if width == 0 {
                visit(Scores { row, column, columns, scores: &vec![0.0; a.rows * columns] });
                continue;
            }
            let b = b.read(run.isa, column, columns, &mut buffer);
            visit(Scores { row, column, columns, scores: scorer.scores(kind, run.isa, a.data, b, width) });
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
