"""Scores of embeddings."""

from __future__ import annotations

import functools
from enum import Enum
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from rushlight import _arguments, _core, util
from rushlight._sparse_scores import pairwise
from rushlight.compat._maxsim import maxsim, maxsim_pairwise, mean_maxsim, mean_maxsim_pairwise
from rushlight.compat._sparse import as_embeddings, is_sparse
from rushlight.compat._tensors import dense, tensor
from rushlight.compat.util.tensor import normalize_embeddings  # noqa: F401 -- which it has there, too
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    _P = ParamSpec("_P")

__all__ = [
    "SimilarityFunction",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "manhattan_sim",
    "maxsim",
    "maxsim_pairwise",
    "mean_maxsim",
    "mean_maxsim_pairwise",
    "pairwise_angle_sim",
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "pairwise_euclidean_sim",
    "pairwise_manhattan_sim",
    "pytorch_cos_sim",
]


def compared(name: str, a: Any, b: Any, arguments: tuple[str, str] = ("a", "b")) -> Any:
    """Score every embedding in `a` against every one in `b`, `(n, m)`; sparse embeddings stay sparse.

    `arguments` are the names of both in error messages.
    """
    if is_sparse(a) or is_sparse(b):
        (first, _), (second, _) = map(as_embeddings, arguments, (a, b))
        return tensor(_core.sparse_similarity(name, first._parts(), second._parts()))
    return tensor(_core.similarity(name, *map(_arguments.matrix, arguments, (dense(a), dense(b)))))


def paired(name: str, a: Any, b: Any, arguments: tuple[str, str] = ("a", "b")) -> Any:
    """Score each embedding in `a` against the one at the same position in `b`, `(n,)`, as `compared` does."""
    if is_sparse(a) or is_sparse(b):
        (first, is_single), (second, is_other_single) = map(as_embeddings, arguments, (a, b))
        for what, one, other in zip(("rows", "columns"), first.shape, second.shape, strict=True):
            if one != other:
                problem = f"must have as many {what} as {arguments[0]}, {one}, got {other}"
                raise InvalidArgumentError(f"{arguments[1]}: {problem}")
        scores, single = pairwise(name, first, second), is_single and is_other_single
    else:
        a, b = dense(a), dense(b)
        scores = _core.similarity_pairwise(name, *map(_arguments.matrix, arguments, (a, b)))
        single = np.ndim(a) == np.ndim(b) == 1 and scores.size == 1
    return tensor(scores.reshape(()) if single else scores)


def _wrapped(function: Callable[_P, Any], score: Callable[[str, Any, Any], Any], name: str) -> Callable[_P, Any]:
    """Return `score` by a name, with the signature and docstring of rushlight's own function."""

    @functools.wraps(function)
    def wrapper(a: Any, b: Any) -> Any:
        return score(name, a, b)

    wrapper.__module__ = __name__  # where pickles find it
    return wrapper  # type: ignore[return-value]  # it has the parameters a and b, as all of them


cos_sim = pytorch_cos_sim = _wrapped(util.cos_sim, compared, "cosine")
"""Cosine of every embedding in `a` with every one in `b`, `(n, m)`."""
dot_score = _wrapped(util.dot_score, compared, "dot")
"""Dot product of every embedding in `a` with every one in `b`, `(n, m)`."""
euclidean_sim = _wrapped(util.euclidean_sim, compared, "euclidean")
"""Negative Euclidean distance of every embedding in `a` to every one in `b`, `(n, m)`."""
manhattan_sim = _wrapped(util.manhattan_sim, compared, "manhattan")
"""Negative Manhattan distance of every embedding in `a` to every one in `b`, `(n, m)`."""
pairwise_cos_sim = _wrapped(util.pairwise_cos_sim, paired, "cosine")
"""Cosine of each embedding in `a` with the one at the same position in `b`, `(n,)`."""
pairwise_dot_score = _wrapped(util.pairwise_dot_score, paired, "dot")
"""Dot product of each embedding in `a` with the one at the same position in `b`, `(n,)`."""
pairwise_euclidean_sim = _wrapped(util.pairwise_euclidean_sim, paired, "euclidean")
"""Negative Euclidean distance of each pair of embeddings, `(n,)`."""
pairwise_manhattan_sim = _wrapped(util.pairwise_manhattan_sim, paired, "manhattan")
"""Negative Manhattan distance of each pair of embeddings, `(n,)`."""


def pairwise_angle_sim(x: Any, y: Any) -> Any:
    """Return the AnglE similarity of each pair, `(n,)`; the second half of an embedding is its imaginary part."""
    first, second = (_complex(name, rows) for name, rows in (("x", x), ("y", y)))
    if first.shape != second.shape:
        raise InvalidArgumentError(f"y: must have the shape of x, {np.shape(x)}, got {np.shape(y)}")
    products = first * second.conj()
    return tensor(np.abs((products.real + products.imag).sum(axis=1)).astype(np.float32))


def _complex(name: str, embeddings: Any) -> Any:
    """Return normalized embeddings as complex numbers, half as many as columns."""
    rows = util.normalize_embeddings(_arguments.matrix(name, dense(embeddings))).astype(np.float64)
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    half = rows.shape[1] // 2
    return rows[:, :half] + 1j * rows[:, half:]


class SimilarityFunction(str, Enum):
    """Function that scores embeddings; distances are negative, so a higher score is more similar.

    Each member equals its name, so it can be passed as `similarity_fn_name`.
    """

    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    DOT = "dot"  # noqa: PIE796 -- an alias, as in sentence-transformers
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"
    MAXSIM = "maxsim"
    MEAN_MAXSIM = "meanmaxsim"

    @staticmethod
    def to_similarity_fn(similarity_function: str | SimilarityFunction) -> Callable[..., Any]:
        """Return the function that scores every embedding against every other."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][0]

    @staticmethod
    def to_similarity_pairwise_fn(similarity_function: str | SimilarityFunction) -> Callable[..., Any]:
        """Return the function that scores embeddings pair by pair."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][1]

    @staticmethod
    def possible_values() -> list[str]:
        """Return the names."""
        return [function.value for function in SimilarityFunction]


_FUNCTIONS: dict[SimilarityFunction, tuple[Callable[..., Any], Callable[..., Any]]] = {
    SimilarityFunction.COSINE: (cos_sim, pairwise_cos_sim),
    SimilarityFunction.DOT_PRODUCT: (dot_score, pairwise_dot_score),
    SimilarityFunction.EUCLIDEAN: (euclidean_sim, pairwise_euclidean_sim),
    SimilarityFunction.MANHATTAN: (manhattan_sim, pairwise_manhattan_sim),
    SimilarityFunction.MAXSIM: (maxsim, maxsim_pairwise),
    SimilarityFunction.MEAN_MAXSIM: (mean_maxsim, mean_maxsim_pairwise),
}
