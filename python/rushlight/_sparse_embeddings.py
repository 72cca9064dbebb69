"""Sparse embeddings."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight.exceptions import InvalidArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SparseEmbeddings(Sequence["SparseEmbeddings"]):
    """Sparse embeddings of texts, in the compressed sparse row (CSR) layout of scipy.

    Parameters
    ----------
    indptr
        int64 `(n + 1,)`: start of each row in the other two arrays, and at the end their length.
    indices
        int32: columns of the values, ascending within a row.
    values
        float32: nonzero values.
    shape
        Number of rows and columns, `(n, d)`.

    Raises
    ------
    InvalidArgumentError
        The arrays do not fit together.

    Examples
    --------
    >>> from rushlight import SparseEmbeddings
    >>> embeddings = SparseEmbeddings([0, 2, 3], [0, 3, 1], [0.5, 1.0, 2.0], (2, 4))
    >>> len(embeddings), embeddings.shape
    (2, (2, 4))
    >>> embeddings[1].to_dense().tolist()
    [[0.0, 2.0, 0.0, 0.0]]
    """

    # True for a row selected by its index, which `rushlight.compat` distinguishes from a batch of one.
    _single = False

    def __init__(self, indptr: Any, indices: Any, values: Any, shape: tuple[int, int]) -> None:
        try:
            rows, columns = (operator.index(size) for size in shape)
            self.indptr: NDArray[np.int64] = _integers("indptr", indptr, np.int64)
            self.indices: NDArray[np.int32] = _integers("indices", indices, np.int32)
            self.values: NDArray[np.float32] = np.ascontiguousarray(values, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidArgumentError(f"must be three arrays of numbers, and a shape (n, d): {error}") from error
        if rows < 0 or columns < 0:
            raise InvalidArgumentError(f"shape: must be sizes from 0 up, got {(rows, columns)}")
        if self.indptr.shape != (rows + 1,):
            raise InvalidArgumentError(f"indptr: must have shape ({rows + 1},), got {self.indptr.shape}")
        if self.indices.ndim != 1 or self.indices.shape != self.values.shape:
            raise InvalidArgumentError(
                f"values: must be 1-D and as many as the indices, got {self.values.shape} and {self.indices.shape}"
            )
        if self.indptr[0] != 0 or self.indptr[-1] != len(self.indices) or (self.indptr[1:] < self.indptr[:-1]).any():
            raise InvalidArgumentError("indptr: must rise from 0 to the number of indices")
        if len(self.indices) and not (self.indices.min() >= 0 and self.indices.max() < columns):
            raise InvalidArgumentError(f"indices: must be columns, from 0 up to {columns - 1}")
        self.shape = (rows, columns)

    def __len__(self) -> int:
        return self.shape[0]

    # A row is SparseEmbeddings, too, so that it can be scored and decoded.
    def __getitem__(self, row: Any) -> SparseEmbeddings:
        """Return a row, or a slice of rows, as embeddings."""
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            if step != 1:
                raise InvalidArgumentError(f"a slice of rows must have the step 1, got {step}")
            stop = max(start, stop)
        else:
            start = operator.index(row)
            start = start + len(self) if start < 0 else start
            if not 0 <= start < len(self):
                raise IndexError(f"row {row} of {len(self)}")
            stop = start + 1
        first, last = self.indptr[start], self.indptr[stop]
        columns = self.shape[1]
        part = SparseEmbeddings(
            self.indptr[start : stop + 1] - first,
            self.indices[first:last],
            self.values[first:last],
            (stop - start, columns),
        )
        part._single = not isinstance(row, slice)
        return part

    def __iter__(self) -> Iterator[SparseEmbeddings]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Return True if shapes, columns and values are equal."""
        if not isinstance(other, SparseEmbeddings):
            return NotImplemented
        pairs = ((self.indptr, other.indptr), (self.indices, other.indices), (self.values, other.values))
        return self.shape == other.shape and all(np.array_equal(a, b) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # arrays are mutable

    def to_dense(self) -> NDArray[np.float32]:
        """Convert to a dense array, float32 `(n, d)`."""
        dense = np.zeros(self.shape, dtype=np.float32)
        dense[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.indices] = self.values
        return dense

    def to_scipy(self) -> Any:
        """Convert to a `scipy.sparse.csr_array` that shares the memory.

        Raises
        ------
        MissingDependencyError
            scipy is not installed.
        """
        try:
            sparse = importlib.import_module("scipy.sparse")
        except ImportError as error:
            raise MissingDependencyError("this needs scipy, which is not installed: pip install scipy") from error
        return sparse.csr_array((self.values, self.indices, self.indptr), shape=self.shape)

    def _parts(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], int]:
        return self.indptr, self.indices, self.values, self.shape[1]

    def __repr__(self) -> str:
        return f"SparseEmbeddings(shape={self.shape}, {len(self.values)} numbers)"


def _integers(name: str, numbers: Any, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """Return integers as an array of a dtype that holds all of them."""
    given = np.asarray(numbers)
    if given.size == 0:
        return np.zeros(given.shape, dtype)
    limits = np.iinfo(dtype)
    if given.dtype.kind not in "iu" or int(given.min()) < limits.min or int(given.max()) > limits.max:
        raise InvalidArgumentError(f"{name}: must be integers of {np.dtype(dtype)}, got {given.dtype}")
    return np.ascontiguousarray(given, dtype=dtype)
