"""Embeddings of all kinds of models, their scores, and the nearest of them in bounded memory."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, _core, _sparse_scores
from rushlight._quantized import plain
from rushlight._scores import score_function_of
from rushlight._searching import search_by
from rushlight._sparse_embeddings import SparseEmbeddings
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Names of score functions of dense and sparse embeddings.
NAMES = ("cosine", "dot", "euclidean", "manhattan")
_METHODS = {None: "encode", "query": "encode_query", "document": "encode_document"}
# Scores that are held at once, and the rows of a corpus that they belong to: 64 MB.
_SCORES, _ROWS = 1 << 24, 1 << 14


def embed(model: Any, inputs: Any, role: str | None, **options: Any) -> Any:
    """Embed inputs by the method for a role; options that are None are left to the model.

    Returns
    -------
    numpy.ndarray, SparseEmbeddings or list of numpy.ndarray
        Dense embeddings `(n, d)`, sparse ones, or an array `(tokens, d)` for each input.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return as_arrays(getattr(model, _METHODS[role])(inputs, **given))


def as_arrays(embeddings: Any) -> Any:
    """Convert tensors, or lists of them, to arrays or `SparseEmbeddings`."""
    from rushlight.compat._sparse import as_embeddings, is_sparse

    if isinstance(embeddings, (np.ndarray, SparseEmbeddings)):
        return embeddings
    if is_sparse(embeddings):
        return as_embeddings("embeddings", embeddings)[0]
    if isinstance(embeddings, (list, tuple)) and any(np.ndim(rows) == 2 for rows in embeddings):
        return [_arguments.matrix("embeddings", rows) for rows in embeddings]
    return _arguments.matrix("embeddings", embeddings)


def all_pairs(name: str, a: Any, b: Any) -> NDArray[np.float32]:
    """Score every embedding of `a` against every one of `b` by a named function."""
    if isinstance(a, SparseEmbeddings):
        return _core.sparse_similarity(name, a._parts(), b._parts())
    if isinstance(a, list):
        return _core.maxsim(name, a, b)
    return _core.similarity(name, *_matrices(a, b))


def pairwise(name: str, a: Any, b: Any) -> NDArray[np.float32]:
    """Score each embedding of `a` against the one of `b` at the same position by a named function."""
    if isinstance(a, SparseEmbeddings):
        return _sparse_scores.pairwise(name, a, b)
    if isinstance(a, list):
        return _core.maxsim_pairwise(name, a, b)
    return _core.similarity_pairwise(name, *_matrices(a, b))


def _matrices(a: Any, b: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return _arguments.matrix("a", a), _arguments.matrix("b", b)


def take(embeddings: Any, rows: NDArray[np.int64]) -> Any:
    """Return the embeddings at these positions."""
    if isinstance(embeddings, list):
        return [embeddings[i] for i in rows]
    if not isinstance(embeddings, SparseEmbeddings):
        return embeddings[rows]
    lengths = np.diff(embeddings.indptr)[rows]
    ends = np.cumsum(lengths)
    values = np.arange(lengths.sum()) + np.repeat(embeddings.indptr[rows] - (ends - lengths), lengths)
    parts = embeddings.indices[values], embeddings.values[values]
    return SparseEmbeddings(np.concatenate([[0], ends]), *parts, (len(rows), embeddings.shape[1]))


def scorer(model: Any, function: Any) -> str | Callable[[Any, Any], Any]:
    """Return the name of a score function that rushlight has, or a callable on arrays.

    A caller's own function receives what the model gives: tensors from a model of `rushlight.compat` where torch is
    installed.
    """
    if isinstance(function, str):
        return function
    if not callable(function):
        raise InvalidArgumentError(f"score function: must be a name or a callable, got {function!r}")
    if str(getattr(function, "__module__", "")).startswith("rushlight."):
        function = score_function_of(inspect.unwrap(function))
    given = getattr(model, "_as_given", None)
    if isinstance(function, str) or given is None:
        return function  # type: ignore[no-any-return]  # a str or a callable
    return lambda a, b: function(given(a), given(b))


def score(function: str | Callable[[Any, Any], Any], a: Any, b: Any) -> NDArray[np.float32]:
    """Score every embedding of `a` against every one of `b` by a name or a callable on arrays."""
    if isinstance(function, str):
        return all_pairs(function, a, b)
    return _arguments.matrix("score function", function(a, b))


def nearest(
    function: str | Callable[[Any, Any], Any], queries: Any, corpus: Any, top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return positions and scores of the `top_k` best rows of a corpus for each query, the lower position first.

    Memory doesn't grow with the product of both.
    """
    if isinstance(function, str) and isinstance(queries, np.ndarray):
        a, b = _matrices(queries, corpus)
        return _core.semantic_search(function, a, plain(b), min(top_k, len(corpus)))
    rows = max(_SCORES // max(min(_ROWS, len(corpus)), 1), 1)
    blocks = [
        search_by(lambda a, b: score(function, a, b), queries[first : first + rows], corpus, _ROWS, top_k)
        for first in range(0, len(queries), rows)
    ]
    return np.concatenate([ids for ids, _ in blocks]), np.concatenate([scores for _, scores in blocks])


def merged(
    first: tuple[NDArray[np.int64], NDArray[np.float32]],
    second: tuple[NDArray[np.int64], NDArray[np.float32]],
    top_k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Merge the best hits of two parts of a corpus; equal scores keep the first part's hits first."""
    ids, scores = np.hstack([first[0], second[0]]), np.hstack([first[1], second[1]])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
