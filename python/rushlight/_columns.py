"""Columns of tables as texts: Arrow, Polars, pandas and numpy, with their nulls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rushlight.exceptions import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    # Inputs of a call of the extension module.
    Texts: TypeAlias = "list[Any] | Strings"

# Methods that turn a whole column into a list in one call: of pyarrow; of Polars and pandas; of numpy.
_LISTING = ("to_pylist", "to_list", "tolist")
# Number of rows of an Arrow column that a stream holds as Python strings.
_ROWS = 1000


class Strings:
    """Column of strings that stay in Arrow's memory, where the extension module reads them.

    Parameters
    ----------
    column
        `ChunkedArray` of large strings without nulls.
    """

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def slice(self, start: int, count: int) -> Strings:
        """Return at most `count` rows from `start` on."""
        return Strings(self._column.slice(start, count))

    @property
    def chunks(self) -> list[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Offsets of the strings of each chunk and of their end, and the bytes of the strings."""
        return [_buffers(chunk) for chunk in self._column.chunks if len(chunk)]


def _buffers(chunk: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    _, offsets, data = chunk.buffers()
    starts = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return np.require(starts, requirements="A"), np.frombuffer(data or b"", np.uint8)


def strings(column: Any, null_value: str | None) -> Strings | None:
    """Return a column of strings that stays in Arrow's memory, with `null_value` in place of nulls.

    None for other objects, and for columns with nulls if there is no `null_value`.
    """
    # pandas would make an Arrow column out of Python strings.
    if not is_column(column) or str(getattr(column, "dtype", "")) == "object":
        return None
    if not hasattr(column, "__arrow_c_stream__") and not hasattr(column, "__arrow_c_array__"):
        return None
    try:
        import pyarrow as pa
    except ImportError:  # Polars exports columns without it
        return None
    arrow = pa.chunked_array(column)
    kind = arrow.type.value_type if pa.types.is_dictionary(arrow.type) else arrow.type
    if not any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)):
        return None
    arrow = arrow.cast(pa.large_string())  # of the layouts of strings, the one that the others become
    if arrow.null_count:
        return None if null_value is None else Strings(arrow.fill_null(null_value))
    return Strings(arrow)


def as_list(column: Any) -> list[Any] | None:
    """Return the values of a column; None for objects that are none."""
    convert = _converter(column)
    return None if convert is None else list(convert())


def as_stream(column: Any) -> Iterable[Any] | None:
    """Return the values of an Arrow column, converted a slice at a time; None for objects that are none."""
    if not hasattr(column, "to_pylist"):
        return None
    slices = (column[start : start + _ROWS] for start in range(0, len(column), _ROWS))
    return (value for part in slices for value in part.to_pylist())


def is_column(inputs: Any) -> bool:
    """Return True for a column of a table."""
    return _converter(inputs) is not None


def without_nulls(name: str, values: Iterable[Any], null_value: str | None) -> Iterator[Any]:
    """Yield values, with `null_value` in place of nulls.

    Raises
    ------
    InvalidInputError
        A value is null, and `null_value` is None; the message names its index.
    """
    for i, value in enumerate(values):
        if isinstance(value, str) or not _is_null(value):
            yield value
        elif null_value is None:
            raise InvalidInputError(
                f"{name}[{i}]: must be a str, got a null; drop or fill it (Model.encode takes null_value)"
            )
        else:
            yield null_value


def _is_null(value: Any) -> bool:
    """Return True for None, NaN and pandas.NA."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"


def _converter(column: Any) -> Callable[[], Any] | None:
    if isinstance(column, (str, list, tuple)):
        return None
    methods = (getattr(column, name, None) for name in _LISTING)
    return next((method for method in methods if callable(method)), None)
