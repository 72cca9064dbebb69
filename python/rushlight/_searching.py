"""Search by a caller's own score function, and the form of search results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def same_width(a_name: str, a: Any, b_name: str, b: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Convert two sets of embeddings to arrays of equal width; an empty one, such as `[]`, fits any width."""
    a, b = _arguments.matrix(a_name, a), _arguments.matrix(b_name, b)
    if a.shape[1] == b.shape[1]:
        return a, b
    if a.shape == (0, 0):
        return np.empty((0, b.shape[1]), np.float32), b
    if b.shape == (0, 0):
        return a, np.empty((0, a.shape[1]), np.float32)
    raise InvalidArgumentError(f"{b_name}: must be as wide as {a_name}, {a.shape[1]}, got {b.shape[1]}")


def search_by(
    score: Callable[[Any, Any], Any], queries: NDArray[np.float32], corpus: NDArray[np.float32], chunk: int, top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return ids and scores of the best hits by a callable, which receives `chunk` rows of the corpus at a time."""
    ids, best = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for first in range(0, len(corpus), chunk):
        part = corpus[first : first + chunk]
        scores = _arguments.matrix("score_function", score(queries, part))
        if scores.shape != (len(queries), len(part)):
            problem = f"must return scores of shape {(len(queries), len(part))}, got {scores.shape}"
            raise InvalidArgumentError(f"score_function: {problem}")
        ids = np.hstack([ids, np.broadcast_to(np.arange(first, first + len(part)), scores.shape)])
        best = np.hstack([best, scores])
        # Earlier hits have lower ids: a stable sort keeps ties in order, and NaN last.
        order = np.argsort(-best, axis=1, kind="stable")[:, :top_k]
        ids, best = np.take_along_axis(ids, order, 1), np.take_along_axis(best, order, 1)
    return ids, best


def best_pairs(pairs: dict[tuple[int, int], float]) -> list[tuple[tuple[int, int], float]]:
    return sorted(pairs.items(), key=lambda pair: (np.isnan(pair[1]), -pair[1], pair[0]))


def hits(ids: NDArray[np.int64], scores: NDArray[np.float32]) -> list[list[dict[str, Any]]]:
    return [
        [{"corpus_id": i, "score": score} for i, score in zip(row, row_scores, strict=True)]
        for row, row_scores in zip(ids.tolist(), scores.tolist(), strict=True)
    ]
