"""Checks and conversions of callers' arguments for the extension module."""

from __future__ import annotations

import importlib
import operator
import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _columns, _images
from rushlight.exceptions import InvalidArgumentError, InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Iterables that are never a batch of texts.
_NO_BATCH = (bytes, bytearray, memoryview, Mapping, AbstractSet)


def matrix(name: str, embeddings: Any) -> NDArray[np.float32]:
    """Convert embeddings to a C-contiguous float32 array `(n, d)`; a single embedding becomes one row."""
    try:
        if isinstance(embeddings, (list, tuple)):
            embeddings = [_numpy(row) for row in embeddings]
        array = np.asarray(_numpy(embeddings))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{name}: must be an array of embeddings, (n, d): {error}") from error
    if array.dtype.kind not in "fiub":
        raise InvalidArgumentError(f"{name}: must be an array of numbers, (n, d), got one of {array.dtype}")
    if array.ndim == 1:
        array = array.reshape(1, -1) if array.size else array.reshape(0, 0)
    if array.ndim != 2:
        raise InvalidArgumentError(f"{name}: must have shape (n, d) or (d,), got {array.shape}")
    with np.errstate(over="ignore"):  # larger numbers become infinite
        return np.require(array, dtype=np.float32, requirements=["C", "A"])


def _numpy(embeddings: Any) -> Any:
    """Convert a torch tensor of any device to an array, and return anything else unchanged."""
    return embeddings.detach().cpu().float().numpy() if hasattr(embeddings, "detach") else embeddings


def torch() -> Any:
    """Import torch.

    Raises
    ------
    MissingDependencyError
        torch is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError("tensors need torch, which is not installed: pip install torch") from error


def pyarrow() -> Any:
    """Import pyarrow and its parquet module.

    Raises
    ------
    MissingDependencyError
        pyarrow is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingDependencyError("parquet needs pyarrow, which is not installed: pip install pyarrow") from error


def positive(name: str, value: Any) -> int:
    """Convert `value` to an int of at least 1; see `at_least`."""
    return at_least(1, name, value)


def optional_positive(name: str, value: Any) -> int | None:
    """Return None for None, and call `positive` otherwise."""
    return None if value is None else positive(name, value)


def at_least(least: int, name: str, value: Any) -> int:
    """Convert `value` to an int of at least `least`.

    Raises
    ------
    InvalidArgumentError
        The value is not such an int.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidArgumentError(f"{name}: must be an int of at least {least}, got {value!r}") from None
    if number < least:
        raise InvalidArgumentError(f"{name}: must be at least {least}, got {number}")
    # Larger than any text or memory, and within the range of Rust's integers.
    return min(number, 2**62)


def text(name: str, value: Any, error: type[InvalidArgumentError] = InvalidArgumentError) -> str:
    """Return `value` if it is a str of valid Unicode.

    Raises
    ------
    InvalidArgumentError
        The value is not; the class is `error`.
    """
    if not isinstance(value, str):
        raise error(f"{name}: must be a str, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise error(f"{name}: must be valid Unicode, got a lone surrogate in {value!r}") from None
    return value


def path(name: str, value: Any) -> Path:
    """Convert a str or path-like `value` to a path.

    Raises
    ------
    InvalidArgumentError
        The value is not a valid path.
    """
    try:
        path = os.fspath(value)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise InvalidArgumentError(f"{name}: must be a str or a path, got {value!r}")
    if not path or "\0" in path:
        raise InvalidArgumentError(f"{name}: must be a path, got {path!r}")
    try:
        os.fsencode(path)
        return Path(path).expanduser()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name}: must be a valid file name, got {path!r}") from None
    except RuntimeError:
        raise InvalidArgumentError(f"{name}: the home folder in {path!r} does not exist") from None


def several(name: str, value: Any) -> list[Any]:
    """Return the items of an iterable, a single str or path as a list of one, and None as an empty list.

    Raises
    ------
    InvalidArgumentError
        The value is none of these.
    """
    if value is None:
        return []
    if isinstance(value, (str, os.PathLike)):
        return [value]
    if isinstance(value, _NO_BATCH) or not isinstance(value, Iterable):
        raise InvalidArgumentError(f"{name}: must be a str or a list of str, got {type(value).__name__}")
    return list(value)


def one_of(name: str, value: Any, known: tuple[str | None, ...]) -> None:
    """Check that `value` is one of the `known` ones.

    Raises
    ------
    InvalidArgumentError
        The value is unknown; the message lists the known ones.
    """
    if not isinstance(value, str | None) or value not in known:
        raise InvalidArgumentError(f"{name}: must be one of {', '.join(map(repr, known))}, got {value!r}")


def prompts(prompts: Any) -> dict[str, str]:
    """Copy prompts by name into a new dict.

    Raises
    ------
    InvalidArgumentError
        The prompts are not a mapping of str to str.
    """
    if not isinstance(prompts, Mapping):
        raise InvalidArgumentError(f"prompts: must be a mapping of str to str, got {type(prompts).__name__}")
    return {text("prompts", name): text("prompts", prompt) for name, prompt in prompts.items()}


def adapters(adapters: Any) -> dict[str, str | os.PathLike[str]]:
    """Copy adapters by name into a new dict.

    Raises
    ------
    InvalidArgumentError
        The adapters are not a mapping of str to a path or a name.
    """
    if not isinstance(adapters, Mapping):
        message = f"adapters: must be a mapping of str to a folder or a name, got {type(adapters).__name__}"
        raise InvalidArgumentError(message)
    for adapter in adapters.values():
        path("adapters", adapter)
    return {text("adapters", name): adapter for name, adapter in adapters.items()}


def inputs(inputs: Any, null_value: str | None = None, *, images: bool = False) -> tuple[_columns.Texts, bool]:
    """Return inputs as a list, or as a column that stays in Arrow's memory; see `texts`."""
    column = _columns.strings(inputs, _null_value(null_value))
    return texts(inputs, null_value=null_value, images=images) if column is None else (column, False)


def texts(
    inputs: Any, name: str = "inputs", null_value: str | None = None, *, images: bool = False
) -> tuple[list[Any], bool]:
    """Return inputs as a list, and True if they were a single text, or with `images` one image.

    `name` is the argument's.

    Raises
    ------
    InvalidInputError
        The inputs are not a batch of texts, or one of a column is null and there is no `null_value`.
    """
    if isinstance(inputs, str) or (images and _images.is_single(inputs)):
        return [inputs], True
    some = batch(name, inputs)
    some = some if isinstance(some, list) else list(some)
    return list(_filled(name, inputs, some, null_value)), False


def stream(name: str, inputs: Any, null_value: str | None) -> Iterable[Any] | _columns.Strings:
    """Return a batch of texts as an iterable that holds few of an Arrow column, or as a column; see `texts`."""
    strings = _columns.strings(inputs, _null_value(null_value))
    if strings is not None:
        return strings
    column = _columns.as_stream(inputs)
    some = batch(name, inputs) if column is None else column
    return _filled(name, inputs, some, null_value)


def _filled(name: str, inputs: Any, values: Iterable[Any], null_value: str | None) -> Iterable[Any]:
    """Return the values of inputs without nulls. Only columns have nulls, unless the caller speaks of them."""
    if null_value is None and not _columns.is_column(inputs):
        return values
    return _columns.without_nulls(name, values, _null_value(null_value))


def _null_value(null_value: Any) -> str | None:
    return None if null_value is None else text("null_value", null_value)


def batch(name: str, inputs: Any) -> Iterable[Any]:
    """Return a batch of texts as an iterable; `name` is the argument's.

    Raises
    ------
    InvalidInputError
        The inputs are not a batch of texts.
    """
    # Tables have a shape, too; their items would be the names of columns.
    shape = getattr(inputs, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        raise InvalidInputError(f"{name}: must have one axis, of str, got {type(inputs).__name__} of shape {shape}")
    column = _columns.as_list(inputs)
    if column is not None:
        return column
    if isinstance(inputs, _NO_BATCH) or not isinstance(inputs, Iterable):
        raise InvalidInputError(f"{name}: must be a str or a list of str, got {type(inputs).__name__}")
    return inputs


def into(out: Any, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return the caller's array `out` if embeddings of that shape and dtype can be written into it.

    Raises
    ------
    InvalidArgumentError
        The array has another shape or dtype, or is not C-contiguous or writable.
    """
    if not isinstance(out, np.ndarray):
        raise InvalidArgumentError(f"out: must be a numpy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != np.dtype(dtype):
        raise InvalidArgumentError(f"out: must be {dtype} of shape {shape}, got {out.dtype} of shape {out.shape}")
    if not out.flags.c_contiguous:
        raise InvalidArgumentError("out: must be C-contiguous")
    if not out.flags.writeable:
        raise InvalidArgumentError("out: must be writable")
    return out
