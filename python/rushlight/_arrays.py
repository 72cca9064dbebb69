"""Between numpy, torch, and what callers have."""

from __future__ import annotations

import importlib
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight.exceptions import InvalidArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def matrix(name: str, embeddings: Any) -> NDArray[np.float32]:
    """Return embeddings of any kind as a C-contiguous float32 array `(n, d)`; a single one is one row."""
    try:
        array = np.asarray(_numpy(embeddings), dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{name}: must be an array of embeddings, (n, d): {error}") from error
    if array.ndim == 1:
        array = array.reshape(1, -1) if array.size else array.reshape(0, 0)
    if array.ndim != 2:
        raise InvalidArgumentError(f"{name}: must have shape (n, d) or (d,), got {array.shape}")
    return array


def _numpy(embeddings: Any) -> Any:
    if hasattr(embeddings, "detach"):  # a torch tensor, of any device
        return embeddings.detach().cpu().float().numpy()
    if isinstance(embeddings, (list, tuple)):
        return [_numpy(item) for item in embeddings]
    return embeddings


def torch() -> Any:
    """Return the module torch.

    Raises
    ------
    MissingDependencyError
        Where it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError("tensors need torch, which is not installed: pip install torch") from error


def positive(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1.

    Raises
    ------
    InvalidArgumentError
        Where it is none.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidArgumentError(f"{name}: must be an int of at least 1, got {value!r}") from None
    if not 1 <= number < 2**63:
        raise InvalidArgumentError(f"{name}: must be at least 1, got {number}")
    return number
