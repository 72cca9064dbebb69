"""Normalizing, truncating and moving embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight import _arguments, util
from rushlight._sparse_scores import normalized
from rushlight.compat._sparse import as_embeddings, as_tensor, is_sparse
from rushlight.compat._tensors import cast, dense, is_tensor, tensor
from rushlight.exceptions import InvalidArgumentError

__all__ = [
    "batch_to_device",
    "compute_count_vector",
    "normalize_embeddings",
    "select_max_active_dims",
    "to_scipy_coo",
    "truncate_embeddings",
]


def normalize_embeddings(embeddings: Any) -> Any:
    """Divide embeddings by their L2 norms, computed in float32.

    The result has the kind of the input (tensor, array or sparse) and its dtype.
    """
    if is_sparse(embeddings):
        rows, single = as_embeddings("embeddings", embeddings)
        return cast(as_tensor(normalized(rows), sparse=True, single=single), embeddings)
    unit = util.normalize_embeddings(dense(embeddings))
    return cast(tensor(unit) if is_tensor(embeddings) else unit, embeddings)


def truncate_embeddings(embeddings: Any, truncate_dim: int | None) -> Any:
    """Return the first `truncate_dim` columns of an array or tensor, or all for None.

    Raises
    ------
    InvalidArgumentError
        Embeddings are sparse: the order of a vocabulary's columns means nothing.
    """
    if is_sparse(embeddings):
        raise InvalidArgumentError("embeddings: sparse ones are not cut; use select_max_active_dims instead")
    return util.truncate_embeddings(embeddings, truncate_dim)


def select_max_active_dims(embeddings: Any, max_active_dims: int | None) -> Any:
    """Return dense rows with the `max_active_dims` numbers of largest magnitude, and 0 for the others."""
    if max_active_dims is None:
        return embeddings
    kept = _arguments.positive("max_active_dims", max_active_dims)
    rows = _arguments.matrix("embeddings", dense(embeddings))
    columns = np.argsort(-np.abs(rows), axis=1, kind="stable")[:, :kept]
    selected = np.zeros_like(rows)
    np.put_along_axis(selected, columns, np.take_along_axis(rows, columns, 1), 1)
    single = as_embeddings("embeddings", embeddings)[1] if is_sparse(embeddings) else np.ndim(embeddings) == 1
    return cast(tensor(selected[0] if single else selected), embeddings)


def batch_to_device(batch: dict[str, Any], target_device: Any) -> dict[str, Any]:
    """Move the tensors in a dict to a device, in place, and leave other values unchanged."""
    batch.update({key: value.to(target_device) for key, value in batch.items() if is_tensor(value)})
    return batch


def to_scipy_coo(x: Any) -> Any:
    """Convert sparse embeddings `(n, d)` to a `scipy.sparse.coo_matrix`.

    Raises
    ------
    MissingDependencyError
        scipy is not installed.
    """
    return as_embeddings("x", x)[0].to_scipy().tocoo()


def compute_count_vector(embeddings: Any) -> Any:
    """Return the number of embeddings with a value other than 0 in each column, int32 `(d,)`."""
    rows = as_embeddings("embeddings", embeddings)[0]
    counts = np.bincount(rows.indices[rows.values != 0], minlength=rows.shape[1])
    return tensor(counts.astype(np.int32))
