"""Arithmetic on sparse embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight._sparse_embeddings import SparseEmbeddings
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def normalized(embeddings: SparseEmbeddings) -> SparseEmbeddings:
    """Divide embeddings by their L2 norms, at least 1e-12."""
    rows = rows_of(embeddings)
    norms = np.sqrt(np.bincount(rows, embeddings.values.astype(np.float64) ** 2, len(embeddings)))
    with np.errstate(invalid="ignore"):  # infinity / infinity is NaN
        values = embeddings.values / np.maximum(norms, 1e-12)[rows]
    return SparseEmbeddings(embeddings.indptr, embeddings.indices, values, embeddings.shape)


def pairwise(name: str, a: SparseEmbeddings, b: SparseEmbeddings) -> NDArray[np.float32]:
    """Score each row of `a` against the row at the same position in `b`, by a named function.

    Memory grows with the number of nonzero values, not with the width.
    """
    if name == "cosine":
        return pairwise("dot", normalized(a), normalized(b))
    # Columns are int32, so a wider row needs no larger numbers, which would overflow.
    width = min(max(a.shape[1], 1), 1 << 31)
    ours, theirs = (rows_of(side) * width + side.indices for side in (a, b))
    if any((np.diff(columns) <= 0).any() for columns in (ours, theirs)):
        raise InvalidArgumentError("indices: must be ascending columns within a row")
    if name == "dot":
        common, first, second = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
        terms: NDArray[Any] = a.values[first].astype(np.float64) * b.values[second]
    else:
        common, which = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
        differences = np.bincount(which, np.concatenate([a.values, -b.values]), len(common))
        terms = differences**2 if name == "euclidean" else -np.abs(differences)
    sums = np.bincount(common // width, terms, len(a))
    scores: NDArray[np.float32] = (-np.sqrt(sums) if name == "euclidean" else sums).astype(np.float32)
    return scores


def rows_of(embeddings: SparseEmbeddings) -> NDArray[np.int64]:
    """Return the row of each value."""
    return np.repeat(np.arange(len(embeddings), dtype=np.int64), np.diff(embeddings.indptr))
