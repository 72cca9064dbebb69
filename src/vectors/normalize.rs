//! L2 normalization.

use crate::alloc;
use crate::error::Result;
use crate::kernels::unit;
use crate::threads::schedule;
use crate::vectors::similarity::{Matrix, MatrixView, Run};

/// Size of a piece of work.
const NUMBERS: usize = 1 << 18;

/// Returns the rows of [`normalize_embeddings`](super::normalize_embeddings).
pub(super) fn normalize(rows: MatrixView<'_>, run: Run<'_>) -> Result<Matrix> {
    let width = rows.columns().max(1);
    let piece = (NUMBERS / width).max(1);
    let mut data = alloc::copied(rows.as_slice(), "normalized embeddings")?;
    let threads = run.threads(rows.rows().div_ceil(piece), data.len());
    schedule::run(data.chunks_mut(piece * width), threads, run.observer(), &|| {}, |rows, _| {
        let mut scales = vec![0.0; rows.len() / width];
        unit::inverse_norms(run.isa(), rows, width, &mut scales);
        rows.chunks_exact_mut(width).zip(scales).for_each(|(row, scale)| unit::scale(row, scale));
        Ok(())
    })?;
    Matrix::new(rows.rows(), rows.columns(), data)
}
