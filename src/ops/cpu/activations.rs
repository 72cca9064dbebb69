//! Activations in recycled memory.

use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::kernels::buffer::Buffer;
use crate::kernels::rows::{Rows, RowsMut};
use crate::threads::executor::lock;

/// Floats in a cache line.
pub(super) const LINE: usize = 16;

/// Buffers of a worker that wait for activations.
pub(super) type Spares = Arc<Mutex<Vec<Buffer>>>;

/// Activations, `(rows, width)`, whose memory returns to its worker.
pub(crate) struct Activations {
    data: Buffer,
    pub(super) rows: usize,
    pub(super) width: usize,
    stride: usize,
    spares: Spares,
}

impl Activations {
    /// Returns activations with arbitrary values, in a spare buffer or in new memory.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) for a text that is too long for this machine.
    pub(super) fn alloc(spares: &Spares, rows: usize, width: usize) -> Result<Self> {
        let mut data = lock(spares).pop().unwrap_or_default();
        // An odd number of cache lines between rows: with an even one, the rows of a tile share few of the cache's sets.
        let stride = (width.div_ceil(LINE) | 1) * LINE;
        data.try_resize(rows.saturating_mul(stride), &format!("activations of {rows} tokens"))?;
        Ok(Self { data, rows, width, stride, spares: Arc::clone(spares) })
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
        lock(&self.spares).push(data);
    }
}
