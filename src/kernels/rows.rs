//! Views of a matrix whose rows have a stride, to read or to write.

use std::marker::PhantomData;
use std::ops::Range;

/// View of rows of `width` numbers that begin `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    data: &'a [f32],
    count: usize,
    width: usize,
    stride: usize,
}

impl<'a> Rows<'a> {
    /// # Panics
    /// Panics where the rows overlap or exceed `data`.
    pub(crate) fn new(data: &'a [f32], count: usize, width: usize, stride: usize) -> Self {
        check(data.len(), count, width, stride);
        Self { data, count, width, stride }
    }

    /// Views contiguous rows.
    pub(crate) fn packed(data: &'a [f32], width: usize) -> Self {
        Self::new(data, data.len().checked_div(width).unwrap_or(0), width, width)
    }

    pub(crate) fn count(self) -> usize {
        self.count
    }

    pub(crate) fn width(self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(crate) fn row(self, i: usize) -> &'a [f32] {
        &self.data[i * self.stride..][..self.width]
    }

    /// Returns the address of the first number, and the distance between rows, for loops without bounds checks.
    #[inline(always)]
    pub(crate) fn start(self) -> (*const f32, usize) {
        (self.data.as_ptr(), self.stride)
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = &'a [f32]> {
        (0..self.count).map(move |i| self.row(i))
    }

    /// Views some of the rows.
    #[inline(always)]
    pub(crate) fn range(self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.count);
        let data = if rows.is_empty() { &[] } else { &self.data[rows.start * self.stride..] };
        Self { data, count: rows.len(), ..self }
    }

    /// Views some columns of every row.
    #[inline(always)]
    pub(crate) fn columns(self, columns: Range<usize>) -> Self {
        assert!(columns.start <= columns.end && columns.end <= self.width);
        let data = if self.count == 0 { &[] } else { &self.data[columns.start..] };
        Self { data, width: columns.len(), ..self }
    }
}

/// Mutable view of rows of `width` numbers that begin `stride` apart.
///
/// Unlike slices, it splits between columns, so that threads write side by side.
pub(crate) struct RowsMut<'a> {
    start: *mut f32,
    count: usize,
    width: usize,
    stride: usize,
    data: PhantomData<&'a mut [f32]>,
}

// SAFETY: like `&mut [f32]`, the view borrows the numbers in its rows uniquely; split views share none.
#[expect(unsafe_code, reason = "a mutable borrow that is not a slice")]
unsafe impl Send for RowsMut<'_> {}

#[expect(unsafe_code, reason = "a mutable borrow that is not a slice")]
impl<'a> RowsMut<'a> {
    /// # Panics
    /// Panics where the rows overlap or exceed `data`.
    pub(crate) fn new(data: &'a mut [f32], count: usize, width: usize, stride: usize) -> Self {
        check(data.len(), count, width, stride);
        Self { start: data.as_mut_ptr(), count, width, stride, data: PhantomData }
    }

    /// Views contiguous rows.
    pub(crate) fn packed(data: &'a mut [f32], width: usize) -> Self {
        let count = data.len().checked_div(width).unwrap_or(0);
        Self::new(data, count, width, width)
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(crate) fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.count);
        // SAFETY: `check` ensured that row `i` lies within the borrowed numbers. No other view has its columns, and the
        // result borrows this one.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.stride), self.width) }
    }

    /// Reborrows all rows.
    pub(crate) fn reborrow(&mut self) -> RowsMut<'_> {
        RowsMut { data: PhantomData, ..*self }
    }

    /// Reborrows some of the rows.
    #[inline(always)]
    pub(crate) fn range(&mut self, rows: Range<usize>) -> RowsMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.count);
        // SAFETY: the pointer stays within the rows; without rows it is not read.
        let start = if rows.is_empty() { self.start } else { unsafe { self.start.add(rows.start * self.stride) } };
        RowsMut { start, count: rows.len(), data: PhantomData, ..*self }
    }

    /// Reborrows some columns of every row.
    #[inline(always)]
    pub(crate) fn columns(&mut self, columns: Range<usize>) -> RowsMut<'_> {
        assert!(columns.start <= columns.end && columns.end <= self.width);
        // SAFETY: the pointer stays within the first row; without rows it is not read.
        let start = if self.count == 0 { self.start } else { unsafe { self.start.add(columns.start) } };
        RowsMut { start, width: columns.len(), data: PhantomData, ..*self }
    }

    /// Splits the view before a column.
    pub(crate) fn split_columns(self, at: usize) -> (Self, Self) {
        assert!(at <= self.width);
        // SAFETY: the pointer stays within the first row; without rows it is not read.
        let start = if self.count == 0 { self.start } else { unsafe { self.start.add(at) } };
        (Self { width: at, ..self }, Self { start, width: self.width - at, ..self })
    }
}

/// Panics unless the rows fit into `len` numbers and don't overlap.
fn check(len: usize, count: usize, width: usize, stride: usize) {
    let end = count.checked_sub(1).map(|last| last.checked_mul(stride).and_then(|last| last.checked_add(width)));
    assert!(
        end.is_none_or(|end| end.is_some_and(|end| end <= len)),
        "{count} rows of {width}, {stride} apart, in {len}"
    );
    assert!(count < 2 || width <= stride, "rows of {width} that are {stride} apart");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_split_by_rows_and_columns() {
        let mut data: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let rows = Rows::new(&data, 4, 7, 11);
        assert_eq!(rows.row(2), [22.0, 23.0, 24.0, 25.0, 26.0, 27.0, 28.0]);
        assert_eq!(rows.range(1..3).columns(2..4).iter().collect::<Vec<_>>(), [[13.0, 14.0], [24.0, 25.0]]);
        assert_eq!((rows.range(4..4).count(), rows.columns(7..7).width()), (0, 0));

        let (mut left, mut right) = RowsMut::new(&mut data, 4, 7, 11).split_columns(3);
        left.row(3).fill(-1.0);
        right.range(1..3).columns(1..2).row(1).fill(-2.0);
        right.reborrow().row(3).fill(-3.0);
        assert_eq!((left.width(), right.width(), right.count()), (3, 4, 4));
        assert_eq!(data[33..40], [-1.0, -1.0, -1.0, -3.0, -3.0, -3.0, -3.0]);
        assert_eq!(data[22..33], [22.0, 23.0, 24.0, 25.0, -2.0, 27.0, 28.0, 29.0, 30.0, 31.0, 32.0]);
    }

    #[test]
    fn a_matrix_may_be_empty() {
        assert_eq!(Rows::new(&[], 0, 5, 5).iter().count(), 0);
        let (left, right) = RowsMut::new(&mut [], 0, 5, 8).split_columns(2);
        assert_eq!((left.count(), right.width()), (0, 3));
        assert_eq!(Rows::packed(&[], 0).count(), 0);
    }

    #[test]
    #[should_panic(expected = "3 rows of 4")]
    fn rows_beyond_the_numbers_are_refused() {
        Rows::new(&[0.0; 11], 3, 4, 4);
    }

    #[test]
    #[should_panic(expected = "apart")]
    fn rows_that_overlap_are_refused() {
        RowsMut::new(&mut [0.0; 11], 3, 4, 3);
    }
}
