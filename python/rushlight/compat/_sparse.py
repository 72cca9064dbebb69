"""Conversion between sparse embeddings and sparse tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import SparseEmbeddings, _arguments
from rushlight._sparse_scores import rows_of
from rushlight.compat._tensors import tensor, torch
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_sparse(embeddings: Any) -> bool:
    """Return True for sparse embeddings, or for a list that contains some."""
    each = embeddings if isinstance(embeddings, (list, tuple)) else [embeddings]
    return any(isinstance(one, SparseEmbeddings) or _is_sparse_tensor(one) for one in each)


def _is_sparse_tensor(one: Any) -> bool:
    return bool(getattr(one, "is_sparse", False) or getattr(one, "is_sparse_csr", False))


def as_embeddings(name: str, given: Any) -> tuple[SparseEmbeddings, bool]:
    """Convert embeddings to sparse ones, and return True with them if they were a single embedding `(d,)`."""
    if isinstance(given, SparseEmbeddings):
        return given, given._single
    if isinstance(given, (list, tuple)) and is_sparse(given):
        return _below_each_other(name, [as_embeddings(f"{name}[{i}]", row)[0] for i, row in enumerate(given)]), False
    if not is_sparse(given):
        dense = _arguments.matrix(name, given)
        rows, columns = np.nonzero(dense)
        return _embeddings(rows, columns, dense[rows, columns], dense.shape), np.ndim(given) == 1
    given = given.detach().cpu().to_sparse_coo().coalesce()
    single = given.ndim == 1
    given = given.unsqueeze(0).coalesce() if single else given
    if given.ndim != 2:
        raise InvalidArgumentError(f"{name}: must have shape (n, d) or (d,), got {tuple(given.shape)}")
    rows, columns = given.indices().numpy()
    return _embeddings(rows, columns, given.values().float().numpy(), tuple(given.shape)), single


def _below_each_other(name: str, parts: Sequence[SparseEmbeddings]) -> SparseEmbeddings:
    """Concatenate rows in order."""
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise InvalidArgumentError(f"{name}: must be of the same width, got {' and '.join(map(str, widths))}")
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    return SparseEmbeddings(
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.values for part in parts]),
        (len(lengths), widths[0]),
    )


def _embeddings(rows: Any, columns: Any, values: Any, shape: tuple[int, ...]) -> SparseEmbeddings:
    starts = np.searchsorted(rows, np.arange(shape[0] + 1))
    return SparseEmbeddings(starts, columns, values, (shape[0], shape[1]))


def as_tensor(embeddings: SparseEmbeddings, *, sparse: bool, single: bool) -> Any:
    """Convert embeddings to a tensor, `(d,)` for a single one; without torch, to an array if `sparse` is False."""
    module = torch()
    if not sparse or module is None:
        result = embeddings if sparse else tensor(embeddings.to_dense())
        return result[0] if single else result
    indices = np.stack([embeddings.indices] if single else [rows_of(embeddings), embeddings.indices]).astype(np.int64)
    return module.sparse_coo_tensor(
        module.from_numpy(indices),
        module.from_numpy(embeddings.values),
        embeddings.shape[1:] if single else embeddings.shape,
        is_coalesced=True,
        check_invariants=False,  # SparseEmbeddings has checked the indices
    )
