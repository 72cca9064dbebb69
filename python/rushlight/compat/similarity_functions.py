"""Scores of embeddings; all of it is in `rushlight.compat.util`, too."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, _core, util
from rushlight.compat._maxsim import maxsim, maxsim_pairwise, mean_maxsim, mean_maxsim_pairwise
from rushlight.compat._refused import refusing
from rushlight.compat._sparse import as_embeddings, is_sparse, pairwise
from rushlight.compat._tensors import dense, tensor
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)


def cos_sim(a: Any, b: Any) -> Any:
    """Return the cosine of every embedding in `a` with every one in `b`: `(n, m)`."""
    return compared("cosine", a, b)


def pytorch_cos_sim(a: Any, b: Any) -> Any:
    """Return `cos_sim`; the older name."""
    return cos_sim(a, b)


def dot_score(a: Any, b: Any) -> Any:
    """Return the dot product of every embedding in `a` with every one in `b`: `(n, m)`."""
    return compared("dot", a, b)


def euclidean_sim(a: Any, b: Any) -> Any:
    """Return the negative Euclidean distance of every embedding in `a` to every one in `b`: `(n, m)`."""
    return compared("euclidean", a, b)


def manhattan_sim(a: Any, b: Any) -> Any:
    """Return the negative Manhattan distance of every embedding in `a` to every one in `b`: `(n, m)`."""
    return compared("manhattan", a, b)


def pairwise_cos_sim(a: Any, b: Any) -> Any:
    """Return the cosine of each embedding in `a` with that at its place in `b`: `(n,)`."""
    return paired("cosine", a, b)


def pairwise_dot_score(a: Any, b: Any) -> Any:
    """Return the dot product of each embedding in `a` with that at its place in `b`: `(n,)`."""
    return paired("dot", a, b)


def pairwise_euclidean_sim(a: Any, b: Any) -> Any:
    """Return the negative Euclidean distance of each pair of embeddings: `(n,)`."""
    return paired("euclidean", a, b)


def pairwise_manhattan_sim(a: Any, b: Any) -> Any:
    """Return the negative Manhattan distance of each pair of embeddings: `(n,)`."""
    return paired("manhattan", a, b)


def pairwise_angle_sim(x: Any, y: Any) -> Any:
    """Return the AnglE similarity of each pair of embeddings, whose second half is the imaginary part: `(n,)`."""
    first, second = (_complex(name, rows) for name, rows in (("x", x), ("y", y)))
    if first.shape != second.shape:
        raise InvalidArgumentError(f"y: must have the shape of x, {np.shape(x)}, got {np.shape(y)}")
    products = first * second.conj()
    return tensor(np.abs((products.real + products.imag).sum(axis=1)).astype(np.float32))


def compared(name: str, a: Any, b: Any, arguments: tuple[str, str] = ("a", "b")) -> Any:
    """Return the scores, of that name, of every embedding in `a` with every one in `b`; sparse ones stay so.

    `arguments` are the names of both for the caller.
    """
    if is_sparse(a) or is_sparse(b):
        (first, _), (second, _) = map(as_embeddings, arguments, (a, b))
        return tensor(_core.sparse_similarity(name, first._parts(), second._parts()))
    return tensor(_core.similarity(name, *map(_arguments.matrix, arguments, (dense(a), dense(b)))))


def paired(name: str, a: Any, b: Any, arguments: tuple[str, str] = ("a", "b")) -> Any:
    """Return the scores of each embedding in `a` with that at its place in `b`, as `compared` does."""
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


def _complex(name: str, embeddings: Any) -> Any:
    """Return normalized embeddings of an even width as complex numbers of half of it."""
    rows = util.normalize_embeddings(_arguments.matrix(name, dense(embeddings))).astype(np.float64)
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    half = rows.shape[1] // 2
    return rows[:, :half] + 1j * rows[:, half:]


class SimilarityFunction(str, Enum):
    """What embeddings are compared by; distances are negative, so that more is more similar.

    Each is its name, too, so that it can be a `similarity_fn_name`.
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
        """Return the function that compares every embedding with every other."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][0]

    @staticmethod
    def to_similarity_pairwise_fn(similarity_function: str | SimilarityFunction) -> Callable[..., Any]:
        """Return the function that compares embeddings pair by pair."""
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
