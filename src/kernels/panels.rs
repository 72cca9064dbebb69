//! A matrix packed into panels: the right side of a product.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::numbers::{MappedNumbers, Numbers};
use super::rows::Rows;
use crate::error::Result;

/// Matrix `(depth, columns)` in panels. A panel holds several vectors of columns, row after row; zero columns complete
/// the last one.
pub(crate) struct Panels {
    numbers: Numbers,
    shape: PanelShape,
}

/// Shape of a matrix in panels, for the vectors of an instruction set.
#[derive(Clone, Copy)]
pub(super) struct PanelShape {
    depth: usize,
    columns: usize,
    isa: Isa,
}

impl PanelShape {
    pub(super) fn new(isa: Isa, depth: usize, columns: usize) -> Self {
        Self { depth, columns, isa }
    }

    #[inline(always)]
    fn layout(self) -> PanelLayout {
        let lanes = self.isa.lanes();
        PanelLayout { vectors: self.columns.div_ceil(lanes), max_vectors: self.isa.panel_vectors(), lanes }
    }

    pub(super) fn depth(self) -> usize {
        self.depth
    }

    /// Number of columns, zero columns included.
    #[inline(always)]
    pub(super) fn all_columns(self) -> usize {
        self.layout().columns()
    }

    /// Number of panels.
    pub(super) fn count(self) -> usize {
        self.layout().panels()
    }

    /// Returns the columns of some panels.
    pub(super) fn columns_of(self, panels: Range<usize>) -> Range<usize> {
        self.layout().columns_of(panels, self.columns)
    }

    /// Returns the columns of a panel, zero columns included.
    #[inline(always)]
    pub(super) fn whole_columns(self, panel: usize) -> Range<usize> {
        self.layout().whole_columns(panel)
    }
}

impl Panels {
    /// Packs the transpose of matrices of one width, stacked: weights `(outputs, inputs)` of layers that share their input.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn transposed(isa: Isa, rows: &[Rows<'_>]) -> Result<Self> {
        let mut panels = Self::empty(isa);
        let depth = rows.first().map_or(0, |rows| rows.width());
        let columns = rows.iter().map(|rows| rows.count()).sum();
        panels.set_shape(depth, columns);
        let len = panels.shape.all_columns() * depth;
        panels.numbers.own().try_resize(len, "a weight matrix")?;
        isa.run(PackTransposed { panels: &mut panels, rows, columns });
        Ok(panels)
    }

    /// Returns panels that hold nothing yet.
    pub(crate) fn empty(isa: Isa) -> Self {
        Self { numbers: Numbers::default(), shape: PanelShape { depth: 0, columns: 0, isa } }
    }

    /// Returns panels whose numbers are in a file; `None` if it holds another count.
    pub(super) fn mapped(shape: PanelShape, numbers: MappedNumbers) -> Option<Self> {
        (numbers.len() == shape.all_columns() * shape.depth).then(|| Self { numbers: numbers.into(), shape })
    }

    /// All numbers, panel after panel.
    pub(super) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// Packs the transpose of rows, completed by zero columns, for kernels that have chosen their instruction set.
    #[inline(always)]
    pub(crate) fn pack_block_transposed<S: Simd>(&mut self, simd: S, rows: Rows<'_>, columns: usize) {
        PackTransposed { panels: self, rows: &[rows], columns }.with_simd(simd);
    }

    /// Packs rows as they are.
    #[cfg(test)]
    pub(crate) fn pack(&mut self, rows: Rows<'_>) {
        self.reshape(rows.count(), rows.width());
        let (depth, layout) = (self.shape.depth, self.layout());
        for panel in 0..layout.panels() {
            let (first, next) = (layout.first_column(panel), layout.first_column(panel + 1));
            let used = first..next.min(rows.width());
            let target = &mut self.numbers.own()[first * depth..next * depth];
            for (target, row) in target.chunks_exact_mut(next - first).zip(rows.iter()) {
                let (to, rest) = target.split_at_mut(used.len());
                to.copy_from_slice(&row[used.clone()]);
                rest.fill(0.0);
            }
        }
    }

    /// Packs the transpose of rows.
    #[cfg(test)]
    pub(crate) fn pack_transposed(&mut self, rows: &[Rows<'_>]) {
        let columns = rows.iter().map(|rows| rows.count()).sum();
        self.shape.isa.run(PackTransposed { panels: self, rows, columns });
    }

    pub(crate) fn depth(&self) -> usize {
        self.shape.depth
    }

    #[cfg(test)]
    pub(crate) fn columns(&self) -> usize {
        self.shape.columns
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.shape.count()
    }

    /// Returns the columns of some panels.
    pub(crate) fn columns_of(&self, panels: Range<usize>) -> Range<usize> {
        self.shape.columns_of(panels)
    }

    /// Returns a panel's numbers, row after row.
    #[inline(always)]
    pub(crate) fn panel(&self, panel: usize) -> &[f32] {
        let columns = self.shape.whole_columns(panel);
        &self.numbers[columns.start * self.shape.depth..columns.end * self.shape.depth]
    }

    #[inline(always)]
    fn layout(&self) -> PanelLayout {
        self.shape.layout()
    }

    #[inline(always)]
    fn set_shape(&mut self, depth: usize, columns: usize) {
        (self.shape.depth, self.shape.columns) = (depth, columns);
    }

    /// Resizes the panels for a block of keys or values.
    #[inline(always)]
    fn reshape(&mut self, depth: usize, columns: usize) {
        self.set_shape(depth, columns);
        let len = self.shape.all_columns() * depth;
        self.numbers.own().resize(len);
    }
}

/// Distribution of vectors of columns over panels: as even as possible, wider panels first.
#[derive(Clone, Copy)]
pub(super) struct PanelLayout {
    pub(super) vectors: usize,
    /// Maximum vectors of a panel.
    pub(super) max_vectors: usize,
    pub(super) lanes: usize,
}

impl PanelLayout {
    #[inline(always)]
    pub(super) fn panels(self) -> usize {
        self.vectors.div_ceil(self.max_vectors)
    }

    /// Number of columns, zero columns included.
    #[inline(always)]
    pub(super) fn columns(self) -> usize {
        self.vectors * self.lanes
    }

    /// Returns the columns of some panels of a matrix that has `columns`.
    #[inline(always)]
    pub(super) fn columns_of(self, panels: Range<usize>, columns: usize) -> Range<usize> {
        self.first_column(panels.start).min(columns)..self.first_column(panels.end).min(columns)
    }

    /// Returns the columns of a panel, zero columns included.
    #[inline(always)]
    pub(super) fn whole_columns(self, panel: usize) -> Range<usize> {
        self.first_column(panel)..self.first_column(panel + 1)
    }

    #[inline(always)]
    pub(super) fn first_column(self, panel: usize) -> usize {
        let panels = self.panels().max(1);
        (panel * (self.vectors / panels) + panel.min(self.vectors % panels)) * self.lanes
    }
}

struct PackTransposed<'a> {
    panels: &'a mut Panels,
    rows: &'a [Rows<'a>],
    columns: usize,
}

impl WithSimd for PackTransposed<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { panels, rows, columns } = self;
        let depth = rows.first().map_or(0, |rows| rows.width());
        panels.reshape(depth, columns);
        let layout = panels.layout();
        let mut sources = rows.iter().flat_map(|rows| rows.iter());
        let mut numbers = &mut panels.numbers.own()[..];
        for panel in 0..layout.panels() {
            let width = layout.first_column(panel + 1) - layout.first_column(panel);
            let (target, rest) = std::mem::take(&mut numbers).split_at_mut(width * depth);
            numbers = rest;
            for column in (0..width).step_by(BLOCK) {
                let used = BLOCK.min(width - column);
                let mut source = |i| if i < used { sources.next().unwrap_or(&[]) } else { &[] };
                transpose(std::array::from_fn(&mut source), &mut target[column..], width, used);
            }
        }
    }
}

/// Side of the square of numbers that is transposed at once.
const BLOCK: usize = 4;

/// Writes `used` rows as columns of a panel `width` wide. Missing rows are zeros.
#[inline(always)]
fn transpose(rows: [&[f32]; BLOCK], target: &mut [f32], width: usize, used: usize) {
    let depth = rows[0].len();
    let whole = rows.iter().all(|row| row.len() == depth) && used == BLOCK;
    let mut done = 0;
    if whole {
        let blocks = rows.map(|row| row.as_chunks::<BLOCK>().0);
        done = blocks[0].len() * BLOCK;
        for (i, target) in target.chunks_mut(BLOCK * width).enumerate().take(blocks[0].len()) {
            let block: [[f32; BLOCK]; BLOCK] = blocks.map(|rows| rows[i]);
            for j in 0..BLOCK {
                target[j * width..][..BLOCK].copy_from_slice(&block.map(|row| row[j]));
            }
        }
    }
    for (k, target) in target.chunks_mut(width).enumerate().skip(done) {
        for (row, target) in rows.iter().zip(&mut target[..used]) {
            *target = row.get(k).copied().unwrap_or(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    /// Returns the matrix that the panels hold, row by row.
    fn unpacked(panels: &Panels) -> Vec<f32> {
        let mut all = vec![f32::NAN; panels.depth() * panels.columns()];
        for panel in 0..panels.count() {
            let columns = panels.columns_of(panel..panel + 1);
            let width = panels.panel(panel).len() / panels.depth();
            for (k, row) in panels.panel(panel).chunks(width).enumerate() {
                all[k * panels.columns()..][columns.clone()].copy_from_slice(&row[..columns.len()]);
                assert!(row[columns.len()..].iter().all(|x| *x == 0.0));
            }
        }
        all
    }

    #[test]
    fn panels_hold_the_matrix_and_zeros() {
        for isa in Isa::available() {
            // Panels into a buffer that held something larger before.
            let (mut as_is, mut transposed) = (Panels::empty(isa), Panels::empty(isa));
            as_is.pack(Rows::packed(&[f32::NAN; 20_000], 100));
            transposed.pack_transposed(&[Rows::packed(&[f32::NAN; 20_000], 100)]);
            for (depth, columns) in (1..10).flat_map(|d| (1..=130).map(move |c| (d, c))) {
                let matrix = noise(depth * columns, 7);
                as_is.pack(Rows::packed(&matrix, columns));
                assert!(unpacked(&as_is) == matrix, "{} {depth}x{columns}", isa.name());

                let transpose: Vec<f32> =
                    (0..depth * columns).map(|i| matrix[i % depth * columns + i / depth]).collect();
                let (first, second) = transpose.split_at(columns / 3 * depth);
                transposed.pack_transposed(&[Rows::packed(first, depth), Rows::packed(second, depth)]);
                assert!(unpacked(&transposed) == matrix, "{} {depth}x{columns}, transposed", isa.name());
            }
        }
    }

    #[test]
    fn panels_are_as_even_as_can_be() {
        for (vectors, widths) in [(1, vec![1]), (3, vec![3]), (4, vec![2, 2]), (7, vec![3, 2, 2]), (24, vec![3; 8])] {
            let layout = PanelLayout { vectors, max_vectors: 3, lanes: 1 };
            let got: Vec<_> =
                (0..layout.panels()).map(|i| layout.first_column(i + 1) - layout.first_column(i)).collect();
            assert_eq!(got, widths);
        }
    }
}
