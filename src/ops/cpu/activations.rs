//! Activations in memory that is used again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::kernels::buffer::Buffer;
use crate::kernels::rows::{Rows, RowsMut};

/// Numbers in a cache line.
pub(super) const LINE: usize = 16;

/// Activations, `(rows, width)`, whose memory goes back to its worker.
pub(crate) struct Activations {
    data: Buffer,
    pub(super) rows: usize,
    pub(super) width: usize,
    stride: usize,
    home: Arc<Mutex<Vec<Buffer>>>,
}

impl Activations {
    /// Room for activations; what they hold at first is arbitrary. Their memory goes back to `home`.
    pub(super) fn room(home: &Arc<Mutex<Vec<Buffer>>>, rows: usize, width: usize) -> Self {
        let mut data = home.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        // Rows an odd number of cache lines apart: else those of a tile fall into few of the cache's sets.
        let stride = (width.div_ceil(LINE) | 1) * LINE;
        data.resize(rows * stride);
        Self { data, rows, width, stride, home: Arc::clone(home) }
    }

    pub(super) fn as_rows(&self) -> Rows<'_> {
        Rows::new(&self.data, self.rows, self.width, self.stride)
    }

    pub(super) fn as_rows_mut(&mut self) -> RowsMut<'_> {
        RowsMut::new(&mut self.data, self.rows, self.width, self.stride)
    }

    pub(super) fn fill_from(&mut self, rows: Rows<'_>) {
        let mut out = self.as_rows_mut();
        for (i, row) in rows.iter().enumerate() {
            out.row(i).copy_from_slice(row);
        }
    }
}

impl Drop for Activations {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(data);
    }
}
