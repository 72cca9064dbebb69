"""Columns of tables as texts: Arrow, Polars, pandas and numpy, with their nulls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rushlight.exceptions import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Methods that turn a whole column into a list in one call: of pyarrow; of Polars and pandas; of numpy.
_LISTING = ("to_pylist", "to_list", "tolist")
# Number of rows of an Arrow column that a stream holds as Python strings.
_ROWS = 1000


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
