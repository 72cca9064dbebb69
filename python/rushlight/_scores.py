"""Score functions of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, _core
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    _ScoreFunction = str | Callable[[Any, Any], Any]


def cos_sim(a: Any, b: Any) -> NDArray[np.float32]:
    """Return the cosine of every embedding in `a` with every one in `b`: float32 `(n, m)`."""
    return _compare("cosine", a, b)


def dot_score(a: Any, b: Any) -> NDArray[np.float32]:
    """Return the dot product of every embedding in `a` with every one in `b`: float32 `(n, m)`."""
    return _compare("dot", a, b)


def euclidean_sim(a: Any, b: Any) -> NDArray[np.float32]:
    """Return the negative Euclidean distance of every embedding in `a` to every one in `b`: float32 `(n, m)`."""
    return _compare("euclidean", a, b)


def manhattan_sim(a: Any, b: Any) -> NDArray[np.float32]:
    """Return the negative Manhattan distance of every embedding in `a` to every one in `b`: float32 `(n, m)`."""
    return _compare("manhattan", a, b)


def pairwise_cos_sim(a: Any, b: Any) -> Any:
    """Return the cosine of each pair of embeddings: float32 `(n,)`, or a float for two single embeddings."""
    return _pairwise("cosine", a, b)


def pairwise_dot_score(a: Any, b: Any) -> Any:
    """Return the dot product of each pair of embeddings; shapes as for `pairwise_cos_sim`."""
    return _pairwise("dot", a, b)


def pairwise_euclidean_sim(a: Any, b: Any) -> Any:
    """Return the negative Euclidean distance of each pair of embeddings; shapes as for `pairwise_cos_sim`."""
    return _pairwise("euclidean", a, b)


def pairwise_manhattan_sim(a: Any, b: Any) -> Any:
    """Return the negative Manhattan distance of each pair of embeddings; shapes as for `pairwise_cos_sim`."""
    return _pairwise("manhattan", a, b)


# Names of score functions here and in the extension module.
_NAMES = {"cos_sim": "cosine", "dot": "dot", "euclidean": "euclidean", "manhattan": "manhattan"}
_FUNCTIONS: dict[Callable[..., Any], str] = {
    cos_sim: "cosine",
    dot_score: "dot",
    euclidean_sim: "euclidean",
    manhattan_sim: "manhattan",
}


def score_function_of(function: _ScoreFunction) -> _ScoreFunction:
    """Return the extension module's name for a score function, or a caller's own callable."""
    if isinstance(function, str):
        _arguments.one_of("score_function", function, tuple(_NAMES))
        return _NAMES[function]
    if not callable(function):
        raise InvalidArgumentError(f"score_function: must be a name or a callable, got {function!r}")
    try:
        return _FUNCTIONS.get(function, function)
    except TypeError:  # a callable without a hash
        return function


def _compare(name: str, a: Any, b: Any) -> NDArray[np.float32]:
    return _core.similarity(name, _arguments.matrix("a", a), _arguments.matrix("b", b))


def _pairwise(name: str, a: Any, b: Any) -> Any:
    scores = _core.similarity_pairwise(name, _arguments.matrix("a", a), _arguments.matrix("b", b))
    return float(scores[0]) if np.ndim(a) == np.ndim(b) == 1 and scores.size else scores
