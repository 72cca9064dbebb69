//! How alike embeddings are: every one with every other, or pair by pair.

use std::fmt;
use std::str::FromStr;

use crate::alloc;
use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::buffer::Buffer;
use crate::observer::Observer;
use crate::process;
use crate::threads::schedule;

mod matrix;
mod scratch;

pub(crate) use matrix::Rows;
pub use matrix::{Matrix, MatrixView};
pub(crate) use scratch::Scratch;

/// How two embeddings are compared; the larger the score, the more alike they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Similarity {
    /// `"cosine"`: the dot product of both rows over their L2 norms.
    ///
    /// A norm under 1e-12 counts as that, so a row of zeros has the score 0 with all finite rows. Rows of very large or
    /// very small numbers don't overflow, nor vanish: their norms are taken in float64. The score of a row with itself is
    /// 1, unless it is of such numbers; rounding may leave others a little above.
    #[default]
    Cosine,
    /// `"dot"`: the dot product, in float32, as far as that reaches.
    Dot,
    /// `"euclidean"`: the negative Euclidean distance.
    ///
    /// It is taken from the differences, so equal rows have exactly 0 and close ones keep their digits. Squares are
    /// float32: the distance of rows that differ by more than 1.8e19 is infinite, by less than 1e-23 is 0.
    Euclidean,
    /// `"manhattan"`: the negative sum of the absolute differences.
    Manhattan,
}

impl Similarity {
    const ALL: [Self; 4] = [Self::Cosine, Self::Dot, Self::Euclidean, Self::Manhattan];

    /// Its name in `config_sentence_transformers.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclidean => "euclidean",
            Self::Manhattan => "manhattan",
        }
    }

    /// The score that a kernel's sum stands for.
    fn score(self, sum: f32) -> f32 {
        match self {
            Self::Cosine | Self::Dot => sum,
            // Subtracted, not negated: no difference is 0, not -0.
            Self::Euclidean => 0.0 - sum.sqrt(),
            Self::Manhattan => 0.0 - sum,
        }
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Similarity {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name, with the known ones.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|similarity| similarity.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("similarity_fn_name", format!("must be one of {known}, got {name:?}"))
        })
    }
}

/// What a computation runs on, and who watches it.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    isa: Isa,
    /// How many threads at most, the caller's among them.
    threads: usize,
    observer: &'a dyn Observer,
}

impl<'a> Run<'a> {
    /// On the process's instruction set and as many threads as it allows.
    pub(crate) fn watched_by(observer: &'a dyn Observer) -> Result<Self> {
        Ok(Self { isa: process::isa()?, threads: usize::MAX, observer })
    }

    /// No more threads than pieces, and none for work that is done before it starts.
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

/// The scores of every row of `a`, `(n, width)`, with every row of `b`, `(m, width)`: `(n, m)`.
///
/// A pair's score has the same bits whatever the other rows, the number of threads, and in [`pairwise`]. Beside both
/// sides and the result it takes a few MiB for each thread.
///
/// # Errors
/// [`Error::InvalidArgument`] where the widths differ; [`Error::Memory`]; [`Error::Interrupted`].
pub(crate) fn similarity(kind: Similarity, a: MatrixView<'_>, b: MatrixView<'_>, run: Run<'_>) -> Result<Matrix> {
    let width = same_width(a.columns, b.columns)?;
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

/// The score of each row of `a` with the same row of `b`.
///
/// # Errors
/// [`Error::InvalidArgument`] where the widths or the numbers of rows differ; [`Error::Interrupted`].
pub(crate) fn pairwise(kind: Similarity, a: MatrixView<'_>, b: MatrixView<'_>, run: Run<'_>) -> Result<Vec<f32>> {
    let width = same_width(a.columns, b.columns)?;
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
        Scratch::default().pairwise(kind, run.isa, a, b, width, out);
        Ok(())
    })?;
    Ok(scores)
}

pub(crate) fn same_width(a: usize, b: usize) -> Result<usize> {
    if a == b {
        return Ok(a);
    }
    Err(Error::argument("b", format!("must be as wide as a, {a}, got {b}")))
}

pub(crate) fn zeros(rows: usize, columns: usize) -> Result<Vec<f32>> {
    alloc::zeros(rows.saturating_mul(columns), &format!("{rows} x {columns} scores; take fewer rows at a time"))
}

/// How many rows a tile has on each side: 2 MiB at most, so that a thread has both and their scores at hand.
fn tile_rows(width: usize) -> usize {
    ((1 << 19) / width).clamp(1, 512)
}

/// So many rows are compared faster than others are read: those come in pieces that stay in the first-level cache while
/// their norms are taken, and their products.
const FEW: usize = 16;

/// Numbers of such a piece: 32 KiB.
const FIRST_LEVEL: usize = 1 << 13;

/// How many rows of the right side are compared at once with `rows` rows of the left one.
fn piece_rows(rows: usize, width: usize) -> usize {
    if rows <= FEW { (FIRST_LEVEL / width).max(1) } else { tile_rows(width) }
}

/// A part of the rows of each side, and the pieces of the result's rows for their scores.
struct Tile<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: Vec<&'a mut [f32]>,
}

/// All tiles, those of a few rows of `a` at a time: no more than `size` rows of the result are ever cut in pieces.
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
        let mut scratch = Scratch::default();
        let step = piece_rows(out.len(), width);
        for (b, first) in b.chunks(step * width).zip((0..).step_by(step)) {
            let columns = b.len() / width;
            let scores = scratch.scores(kind, isa, a, b, width);
            for (out, scores) in out.iter_mut().zip(scores.chunks_exact(columns)) {
                out[first..first + columns].copy_from_slice(scores);
            }
        }
    }
}

/// Some scores of all those of two matrices: of `scores.len() / columns` rows of the one from `row` on, with `columns`
/// rows of the other from `column` on.
pub(crate) struct Scores<'a> {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) columns: usize,
    pub(crate) scores: &'a [f32],
}

/// Calls `visit` with the scores of [`similarity`], some at a time, in any order, on many threads: never are all of them
/// in memory.
///
/// # Errors
/// [`Error::InvalidArgument`] where the widths differ; [`Error::Interrupted`].
pub(crate) fn visit(
    kind: Similarity,
    a: MatrixView<'_>,
    b: &impl Rows,
    run: Run<'_>,
    visit: impl Fn(Scores<'_>) + Sync,
) -> Result<()> {
    let width = same_width(a.columns, b.columns())?;
    let size = tile_rows(width.max(1));
    let tiles = (0..b.rows()).step_by(size).flat_map(|j| (0..a.rows).step_by(size).map(move |i| (i, j)));
    let count = a.rows.div_ceil(size).saturating_mul(b.rows().div_ceil(size));
    let threads = run.threads(count, a.data.len().saturating_mul(b.rows()));
    schedule::run(tiles, threads, run.observer, &|| {}, |(row, column), _| {
        let a = a.some_rows(row, size);
        let (mut scratch, mut buffer) = (Scratch::default(), Buffer::default());
        let end = b.rows().min(column + size);
        let step = piece_rows(a.rows, width.max(1));
        for column in (column..end).step_by(step) {
            let columns = step.min(end - column);
            if width == 0 {
                visit(Scores { row, column, columns, scores: &vec![0.0; a.rows * columns] });
                continue;
            }
            let b = b.read(run.isa, column, columns, &mut buffer);
            visit(Scores { row, column, columns, scores: scratch.scores(kind, run.isa, a.data, b, width) });
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
