"""Embeddings as Arrow arrays, which share the memory of the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import SparseEmbeddings
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations._requires import requires

with requires("arrow"):
    import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    # Results of all kinds of models.
    Embeddings = NDArray[Any] | SparseEmbeddings | Sequence[NDArray[Any]]


def array(embeddings: Embeddings, *, fixed_size: bool = True, width: int | None = None) -> pa.Array:
    """Return embeddings as an Arrow array with a value per text.

    The numbers are not copied, except those of late-interaction models, which come in an array per text.

    Parameters
    ----------
    embeddings
        Result of a model: embeddings `(n, d)`, scores `(n,)`, `SparseEmbeddings`, or a list of arrays `(tokens, d)`.
    fixed_size
        Return rows as `FixedSizeList`, which every row of an array `(n, d)` fits. False returns `List`, for readers
        that lack the other, such as Spark.
    width
        Number of columns, for an empty list of arrays.

    Returns
    -------
    pyarrow.Array
        For an array `(n, d)` a `FixedSizeListArray`; for `(n,)` an array of numbers; for sparse embeddings structs
        with the lists `indices` and `values`; for a list of arrays lists of rows.

    Raises
    ------
    InvalidArgumentError
        The embeddings are none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from rushlight.integrations.arrow import array
    >>> array(np.zeros((3, 2), np.float32)).type
    FixedSizeListType(fixed_size_list<item: float>[2])
    """
    if isinstance(embeddings, SparseEmbeddings):
        columns = (_lists(embeddings.indptr, pa.array(part)) for part in (embeddings.indices, embeddings.values))
        return pa.StructArray.from_arrays(list(columns), ["indices", "values"])
    if isinstance(embeddings, np.ndarray):
        if embeddings.ndim not in {1, 2}:
            raise InvalidArgumentError(f"embeddings: must have shape (n, d) or (n,), got {embeddings.shape}")
        return pa.array(embeddings) if embeddings.ndim == 1 else _rows(embeddings, fixed_size)
    texts = list(embeddings)
    if not texts and width is None:
        raise InvalidArgumentError("embeddings: an empty list needs a width")
    ends = np.cumsum([0, *map(len, texts)])
    rows = np.concatenate(texts) if texts else np.empty((0, width or 0), np.float32)
    return _lists(ends, _rows(rows, fixed_size))


def _rows(rows: NDArray[Any], fixed_size: bool) -> pa.Array:
    count, width = rows.shape
    numbers = pa.array(np.ascontiguousarray(rows).reshape(-1))
    if fixed_size and width:
        return pa.FixedSizeListArray.from_arrays(numbers, width)
    return _lists(np.arange(count + 1) * width, numbers)


def _lists(starts: NDArray[np.int64], values: pa.Array) -> pa.Array:
    """Return lists of values; `starts` are the index of the first value of each, and at the end the number."""
    if starts[-1] > np.iinfo(np.int32).max:
        raise InvalidArgumentError(f"embeddings: must have under 2^31 numbers in an Arrow array, got {starts[-1]}")
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values)
