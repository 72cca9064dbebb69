"""What is done with embeddings: comparing, searching, mining for pairs, finding communities, making them smaller.

Embeddings are arrays, tensors or lists, `(n, d)` of any number type; `(d,)` is one embedding. All is exact. Of equal
scores the lower index comes first; NaN is below every number.

Examples
--------
>>> import numpy as np
>>> from rushlight import util
>>> corpus = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
>>> util.semantic_search(np.array([1.0, 0.0]), corpus, top_k=1)
[[{'corpus_id': 1, 'score': 1.0}]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, _core
from rushlight._loaded import progress
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from rushlight._model import Model

    _ScoreFunction = str | Callable[[Any, Any], Any]

__all__ = [
    "community_detection",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "manhattan_sim",
    "normalize_embeddings",
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "pairwise_euclidean_sim",
    "pairwise_manhattan_sim",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "quantize_embeddings",
    "semantic_search",
    "truncate_embeddings",
]

_PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")


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
    """Return the cosine of each embedding in `a` with that at its place in `b`: float32 `(n,)`, or a float."""
    return _pairwise("cosine", a, b)


def pairwise_dot_score(a: Any, b: Any) -> Any:
    """Return the dot product of each embedding in `a` with that at its place in `b`; shapes as `pairwise_cos_sim`."""
    return _pairwise("dot", a, b)


def pairwise_euclidean_sim(a: Any, b: Any) -> Any:
    """Return the negative Euclidean distance of each pair of embeddings; shapes as `pairwise_cos_sim`."""
    return _pairwise("euclidean", a, b)


def pairwise_manhattan_sim(a: Any, b: Any) -> Any:
    """Return the negative Manhattan distance of each pair of embeddings; shapes as `pairwise_cos_sim`."""
    return _pairwise("manhattan", a, b)


# What the core computes, by its name here.
_NAMES = {"cos_sim": "cosine", "dot": "dot", "euclidean": "euclidean", "manhattan": "manhattan"}
_FUNCTIONS: dict[Callable[..., Any], str] = {
    cos_sim: "cosine",
    dot_score: "dot",
    euclidean_sim: "euclidean",
    manhattan_sim: "manhattan",
}


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: _ScoreFunction = cos_sim,
) -> list[list[dict[str, Any]]]:
    """Find the embeddings of a corpus that are most similar to each query.

    Parameters
    ----------
    query_embeddings, corpus_embeddings
        `(n, d)` and `(m, d)`.
    query_chunk_size, corpus_chunk_size
        How many rows a `score_function` of your own is given at once. Otherwise they change nothing.
    top_k
        How many are found for each query, at least 1; fewer where the corpus has fewer.
    score_function
        "cos_sim", "dot", "euclidean" or "manhattan"; a function of this module; or a callable that takes arrays
        `(n, d)` and `(m, d)` and returns scores `(n, m)`, higher for more similar.

    Returns
    -------
    list of list of dict
        For each query `corpus_id` and `score`, the best first.

    Raises
    ------
    InvalidArgumentError
        Where the widths differ, a size is below 1, the function is unknown or returns another shape.
    """
    queries, corpus = _same_width("query_embeddings", query_embeddings, "corpus_embeddings", corpus_embeddings)
    top_k = _arguments.positive("top_k", top_k)
    rows = _arguments.positive("query_chunk_size", query_chunk_size)
    columns = _arguments.positive("corpus_chunk_size", corpus_chunk_size)
    score = _score_function(score_function)
    if isinstance(score, str):
        ids, scores = _core.semantic_search(score, queries, corpus, top_k)
        return _hits(ids, scores)
    found: list[list[dict[str, Any]]] = []
    for first in range(0, len(queries), rows):
        found += _hits(*_search_by(score, queries[first : first + rows], corpus, columns, top_k))
    return found


def paraphrase_mining(
    model: Model,
    sentences: Iterable[str],
    show_progress_bar: bool | None = None,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: _ScoreFunction = cos_sim,
) -> list[list[Any]]:
    """Embed sentences and find the most similar pairs of them; see `paraphrase_mining_embeddings`."""
    embeddings = model.encode(list(sentences), batch_size=batch_size, show_progress_bar=show_progress_bar)
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: Any,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: _ScoreFunction = cos_sim,
) -> list[list[Any]]:
    """Find the most similar pairs among each embedding and its `top_k` most similar others.

    Parameters
    ----------
    embeddings
        `(n, d)`.
    query_chunk_size, corpus_chunk_size
        As in `semantic_search`.
    max_pairs, top_k
        How many pairs are found at most, and how many others are looked at for each embedding; at least 1.
    score_function
        As in `semantic_search`; it must give a pair the same score from both sides.

    Returns
    -------
    list of list
        `[score, i, j]` with i < j, each pair once, the best first.

    Raises
    ------
    InvalidArgumentError
        As `semantic_search`.
    """
    rows = _arguments.matrix("embeddings", embeddings)
    max_pairs, top_k = _arguments.positive("max_pairs", max_pairs), _arguments.positive("top_k", top_k)
    score = _score_function(score_function)
    if isinstance(score, str):
        return [list(pair) for pair in _core.paraphrase_mining(score, rows, max_pairs, top_k)]
    queries = _arguments.positive("query_chunk_size", query_chunk_size)
    columns = _arguments.positive("corpus_chunk_size", corpus_chunk_size)
    pairs: dict[tuple[int, int], float] = {}
    for first in range(0, len(rows), queries):
        ids, scores = _search_by(score, rows[first : first + queries], rows, columns, top_k + 1)
        for i, (others, row) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True), first):
            neighbours = [(j, score) for j, score in zip(others, row, strict=True) if i != j]
            for j, score_ in neighbours[:top_k]:
                pairs.setdefault((min(i, j), max(i, j)), score_)
        if len(pairs) > max_pairs:
            pairs = dict(_best_pairs(pairs)[:max_pairs])
    return [[score, i, j] for (i, j), score in _best_pairs(pairs)[:max_pairs]]


def community_detection(
    embeddings: Any,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool | None = False,
) -> list[list[int]]:
    """Find groups of embeddings whose cosine with one of them, the centre, is at least `threshold`.

    Parameters
    ----------
    embeddings
        `(n, d)`.
    threshold
        A cosine, as float32.
    min_community_size
        Groups that are smaller are left out; at least 1.
    batch_size
        How many embeddings are compared with all others between two steps of the progress bar, at least 1; with few it
        takes longer. It changes neither the result nor the memory, which is a few numbers for each embedding.
    show_progress_bar
        Whether to show progress; None is where the logger "rushlight" is at level INFO or below.

    Returns
    -------
    list of list of int
        The largest group first; of each the centre, then the others by falling cosine. No id is in two of them.

    Raises
    ------
    InvalidArgumentError
        Where the threshold is no number or a size is below 1.
    """
    rows = _arguments.matrix("embeddings", embeddings)
    size = _arguments.positive("min_community_size", min_community_size)
    batch = _arguments.positive("batch_size", batch_size)
    if not isinstance(threshold, (int, float, np.number)):
        raise InvalidArgumentError(f"threshold: must be a number, got {threshold!r}")
    with progress(show_progress_bar, len(rows), "embedding") as told:
        return _core.community_detection(rows, float(threshold), size, batch, told)


def quantize_embeddings(
    embeddings: Any, precision: str, ranges: Any = None, calibration_embeddings: Any = None
) -> NDArray[Any]:
    """Return embeddings in fewer bits.

    Parameters
    ----------
    embeddings
        `(n, d)`, or `(d,)` for a precision without ranges or with given ones.
    precision
        "int8" and "uint8" cut the range of each dimension into 255 steps; "binary" and "ubinary" keep a bit for each
        dimension, eight in a byte; "float32" keeps all.
    ranges
        `(2, d)`: the smallest and the largest number of each dimension. Default: those of `calibration_embeddings`,
        `(any, d)`, else those of the embeddings.

    Returns
    -------
    numpy.ndarray
        int8, uint8 or float32 `(n, d)`; for bits int8 or uint8 `(n, ceil(d / 8))`. `(d,)` gives one row without `n`.

    Raises
    ------
    InvalidArgumentError
        Where the precision is unknown, a shape is wrong, or one embedding alone has no ranges.
    """
    _arguments.one_of("precision", precision, _PRECISIONS)
    rows = _arguments.matrix("embeddings", embeddings)
    single = np.ndim(embeddings) == 1 and rows.size > 0
    if len(rows) == 1 and precision in {"int8", "uint8"} and ranges is None and calibration_embeddings is None:
        raise InvalidArgumentError(f"precision: {precision!r} of one embedding needs ranges or calibration_embeddings")
    bounds = None if ranges is None else _arguments.matrix("ranges", ranges)
    if bounds is not None and bounds.shape != (2, rows.shape[1]):
        raise InvalidArgumentError(f"ranges: must have shape (2, {rows.shape[1]}), got {bounds.shape}")
    sample = None
    if calibration_embeddings is not None:
        rows, sample = _same_width("embeddings", rows, "calibration_embeddings", calibration_embeddings)
    quantized = _core.quantize(rows, precision, bounds, sample)
    return quantized[0] if single else quantized


def normalize_embeddings(embeddings: Any) -> NDArray[np.float32]:
    """Return embeddings over their L2 norms, float32 of the same shape; a norm under 1e-12 counts as that."""
    rows = _arguments.matrix("embeddings", embeddings)
    unit = _core.normalize_embeddings(rows)
    return unit.reshape(-1) if np.ndim(embeddings) == 1 else unit


def truncate_embeddings(embeddings: Any, truncate_dim: int | None) -> Any:
    """Return the first `truncate_dim` columns of an array or tensor, all of them for None; a view, nothing is copied.

    Raises
    ------
    InvalidArgumentError
        Where `truncate_dim` is below 1.
    """
    if truncate_dim is None:
        return embeddings
    columns = _arguments.positive("truncate_dim", truncate_dim)
    if isinstance(embeddings, (list, tuple)):
        embeddings = _arguments.matrix("embeddings", embeddings)
    return embeddings[..., :columns]


def _compare(name: str, a: Any, b: Any) -> NDArray[np.float32]:
    return _core.similarity(name, _arguments.matrix("a", a), _arguments.matrix("b", b))


def _pairwise(name: str, a: Any, b: Any) -> Any:
    scores = _core.similarity_pairwise(name, _arguments.matrix("a", a), _arguments.matrix("b", b))
    return float(scores[0]) if np.ndim(a) == np.ndim(b) == 1 and scores.size else scores


def _same_width(a_name: str, a: Any, b_name: str, b: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both as arrays; one without rows, such as `[]`, has any width."""
    a, b = _arguments.matrix(a_name, a), _arguments.matrix(b_name, b)
    if a.shape[1] == b.shape[1]:
        return a, b
    if a.shape == (0, 0):
        return np.empty((0, b.shape[1]), np.float32), b
    if b.shape == (0, 0):
        return a, np.empty((0, a.shape[1]), np.float32)
    raise InvalidArgumentError(f"{b_name}: must be as wide as {a_name}, {a.shape[1]}, got {b.shape[1]}")


def _score_function(function: _ScoreFunction) -> _ScoreFunction:
    """Return the core's name of a score function, or a callable that the core does not have."""
    if isinstance(function, str):
        _arguments.one_of("score_function", function, tuple(_NAMES))
        return _NAMES[function]
    if not callable(function):
        raise InvalidArgumentError(f"score_function: must be a name or a callable, got {function!r}")
    try:
        return _FUNCTIONS.get(function, function)
    except TypeError:  # a callable that has no hash
        return function


def _search_by(
    score: Callable[[Any, Any], Any], queries: NDArray[np.float32], corpus: NDArray[np.float32], chunk: int, top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ids and scores of the best, by a callable, which is given `chunk` rows of the corpus at once."""
    ids, best = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for first in range(0, len(corpus), chunk):
        part = corpus[first : first + chunk]
        scores = _arguments.matrix("score_function", score(queries, part))
        if scores.shape != (len(queries), len(part)):
            problem = f"must return scores of shape {(len(queries), len(part))}, got {scores.shape}"
            raise InvalidArgumentError(f"score_function: {problem}")
        ids = np.hstack([ids, np.broadcast_to(np.arange(first, first + len(part)), scores.shape)])
        best = np.hstack([best, scores])
        # Those before come first and are of lower ids: a stable sort keeps ties in order, and NaN last.
        order = np.argsort(-best, axis=1, kind="stable")[:, :top_k]
        ids, best = np.take_along_axis(ids, order, 1), np.take_along_axis(best, order, 1)
    return ids, best


def _best_pairs(pairs: dict[tuple[int, int], float]) -> list[tuple[tuple[int, int], float]]:
    return sorted(pairs.items(), key=lambda pair: (np.isnan(pair[1]), -pair[1], pair[0]))


def _hits(ids: NDArray[np.int64], scores: NDArray[np.float32]) -> list[list[dict[str, Any]]]:
    return [
        [{"corpus_id": i, "score": score} for i, score in zip(row, row_scores, strict=True)]
        for row, row_scores in zip(ids.tolist(), scores.tolist(), strict=True)
    ]
