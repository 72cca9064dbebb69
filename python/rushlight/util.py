"""Functions on embeddings: scores, search, paraphrase mining, communities, quantization.

Embeddings are arrays, tensors or lists of numbers, `(n, d)`; `(d,)` is one embedding. Search and mining are exact. Ties
are broken by the lower index, and NaN scores come last.

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

from rushlight import _arguments, _core, _quantized
from rushlight._loaded import progress
from rushlight._quantized import PRECISIONS, is_quantized, plain
from rushlight._scores import (
    cos_sim,
    dot_score,
    euclidean_sim,
    manhattan_sim,
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
    score_function_of,
)
from rushlight._searching import best_pairs, hits, same_width, search_by
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rushlight._model import Model
    from rushlight._scores import _ScoreFunction

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


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: _ScoreFunction = cos_sim,
    *,
    corpus_precision: str = "float32",
    ranges: Any = None,
    calibration_embeddings: Any = None,
    rescore: bool = True,
    rescore_multiplier: int = 2,
    rescore_embeddings: Any = None,
) -> list[list[dict[str, Any]]]:
    """Find the embeddings of a corpus that are most similar to each query.

    The corpus may be quantized by `quantize_embeddings` or `encode(precision=...)`. An "int8" or "uint8" code is scored
    as the lower end of its step. For "binary" and "ubinary", the `rescore_multiplier * top_k` candidates with the
    smallest Hamming distance are found first, and then scored with the unquantized queries, where a bit is 1 or -1.

    Parameters
    ----------
    query_embeddings, corpus_embeddings
        `(n, d)` and `(m, d)`; packed bits are `(m, ceil(d / 8))`. Queries may have the precision of the corpus.
    query_chunk_size, corpus_chunk_size
        Maximum number of rows that a `score_function` of your own receives; no effect for the named ones.
    top_k
        Maximum number of hits per query, at least 1.
    score_function
        "cos_sim", "dot", "euclidean", "manhattan", or a function of this module. For a float32 corpus also a callable
        that takes arrays `(n, d)` and `(m, d)` and returns scores `(n, m)`, higher for more similar.
    corpus_precision
        "float32", "int8", "uint8", "binary" or "ubinary".
    ranges
        `(2, d)`: minimum and maximum of each dimension that int8 and uint8 were quantized with. The default is computed
        from `calibration_embeddings`, `(k, d)`; int8 and uint8 need one of the two.
    rescore
        Score the candidates again. Without it, bits are scored as rows of 1 and -1. int8 and uint8 need it only for
        `rescore_embeddings`.
    rescore_multiplier
        Number of candidates per hit, at least 1; more candidates miss fewer hits.
    rescore_embeddings
        `(m, d)`: the corpus in int8, uint8 or float, to score the candidates with. Of float32 only the candidates' rows
        are read, so it may be a `numpy.memmap`. It also gives the number of dimensions of packed binary queries, so
        that padding bits are ignored; without it they count as equal dimensions.

    Returns
    -------
    list of list of dict
        `corpus_id` and `score` of the hits of each query, best first.

    Raises
    ------
    InvalidArgumentError
        Widths differ, a size is below 1, the score function is unknown or returns another shape, the dtype of the
        corpus is not that of its precision, ranges are missing, or an argument is for another precision.

    Examples
    --------
    >>> import numpy as np
    >>> from rushlight import util
    >>> corpus = np.array([[-1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])
    >>> bits = util.quantize_embeddings(corpus, "ubinary")
    >>> options = {"corpus_precision": "ubinary", "score_function": "dot", "rescore_embeddings": corpus}
    >>> util.semantic_search([3.0, 1.0], bits, top_k=1, **options)
    [[{'corpus_id': 2, 'score': 7.0}]]
    """
    top_k = _arguments.positive("top_k", top_k)
    rows = _arguments.positive("query_chunk_size", query_chunk_size)
    columns = _arguments.positive("corpus_chunk_size", corpus_chunk_size)
    score = score_function_of(score_function)
    _arguments.one_of("corpus_precision", corpus_precision, PRECISIONS)
    again = _arguments.positive("rescore_multiplier", rescore_multiplier)
    options = _quantized.Options(corpus_precision, ranges, calibration_embeddings, rescore, again, rescore_embeddings)
    if corpus_precision != "float32":
        return hits(*_quantized.search(score, query_embeddings, corpus_embeddings, top_k, options))
    _quantized.refuse(query_embeddings, corpus_embeddings, options)
    queries, corpus = same_width("query_embeddings", query_embeddings, "corpus_embeddings", corpus_embeddings)
    if isinstance(score, str):
        return hits(*_core.semantic_search(score, queries, plain(corpus), top_k))
    parts = (queries[first : first + rows] for first in range(0, len(queries), rows))
    return [found for part in parts for found in hits(*search_by(score, part, corpus, columns, top_k))]


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
    texts, single = _arguments.texts(sentences, "sentences")
    if single:
        raise InvalidInputError("sentences: must be a list of texts, got a str")
    embeddings = model.encode(texts, batch_size=batch_size, show_progress_bar=show_progress_bar)
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
        See `semantic_search`.
    max_pairs, top_k
        Maximum number of pairs, and number of neighbours to consider per embedding; at least 1.
    score_function
        See `semantic_search`; it must be symmetric.

    Returns
    -------
    list of list
        `[score, i, j]` with i < j, each pair once, best first.

    Raises
    ------
    InvalidArgumentError
        See `semantic_search`.
    """
    rows = _arguments.matrix("embeddings", embeddings)
    max_pairs, top_k = _arguments.positive("max_pairs", max_pairs), _arguments.positive("top_k", top_k)
    score = score_function_of(score_function)
    if isinstance(score, str):
        return [list(pair) for pair in _core.paraphrase_mining(score, rows, max_pairs, top_k)]
    queries = _arguments.positive("query_chunk_size", query_chunk_size)
    columns = _arguments.positive("corpus_chunk_size", corpus_chunk_size)
    pairs: dict[tuple[int, int], float] = {}
    for first in range(0, len(rows), queries):
        ids, scores = search_by(score, rows[first : first + queries], rows, columns, top_k + 1)
        for i, (others, row) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True), first):
            neighbours = [(j, score) for j, score in zip(others, row, strict=True) if i != j]
            for j, score_ in neighbours[:top_k]:
                pairs.setdefault((min(i, j), max(i, j)), score_)
        if len(pairs) > max_pairs:
            pairs = dict(best_pairs(pairs)[:max_pairs])
    return [[score, i, j] for (i, j), score in best_pairs(pairs)[:max_pairs]]


def community_detection(
    embeddings: Any,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool | None = False,
) -> list[list[int]]:
    """Find groups of embeddings.

    A group has a centre, one of its embeddings. The cosine of the others with it is at least `threshold`.

    Parameters
    ----------
    embeddings
        `(n, d)`.
    threshold
        Minimum cosine, rounded to float32.
    min_community_size
        Minimum number of embeddings in a group, at least 1.
    batch_size
        Number of embeddings to compare with all others per step of the progress bar, at least 1. Small batches are
        slower. It changes neither the result nor the memory, a few numbers per embedding.
    show_progress_bar
        Show a progress bar; None shows one if the logger "rushlight" is at level INFO or below.

    Returns
    -------
    list of list of int
        Ids of each group, largest group first: the centre, then the others by descending cosine. Groups do not overlap.

    Raises
    ------
    InvalidArgumentError
        The threshold is not a number, or a size is below 1.
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
    """Quantize embeddings.

    Parameters
    ----------
    embeddings
        `(n, d)`, or `(d,)` if the precision has no ranges or they are given.
    precision
        "int8" and "uint8" split the range of each dimension into 255 steps. "binary" and "ubinary" keep one bit of each
        dimension, `x > 0`, eight in a byte. "float32" changes nothing.
    ranges
        `(2, d)`: minimum and maximum of each dimension. The default is computed from `calibration_embeddings`, `(any,
        d)`, or else from the embeddings.

    Returns
    -------
    numpy.ndarray
        int8, uint8 or float32 `(n, d)`; packed bits, int8 or uint8 `(n, ceil(d / 8))`. `(d,)` gives one row without
        `n`.

    Raises
    ------
    InvalidArgumentError
        The precision is unknown, a shape is wrong, or a single embedding has no ranges.
    """
    _arguments.one_of("precision", precision, PRECISIONS)
    if is_quantized(embeddings):
        raise InvalidArgumentError("embeddings: are quantized already, to int8 or uint8")
    rows = _arguments.matrix("embeddings", embeddings)
    single = np.ndim(embeddings) == 1 and rows.size > 0
    if len(rows) == 1 and precision in {"int8", "uint8"} and ranges is None and calibration_embeddings is None:
        raise InvalidArgumentError(f"precision: {precision!r} of one embedding needs ranges or calibration_embeddings")
    bounds = None if ranges is None else _arguments.matrix("ranges", ranges)
    if bounds is not None and bounds.shape != (2, rows.shape[1]):
        raise InvalidArgumentError(f"ranges: must have shape (2, {rows.shape[1]}), got {bounds.shape}")
    sample = None
    if calibration_embeddings is not None:
        rows, sample = same_width("embeddings", rows, "calibration_embeddings", calibration_embeddings)
    quantized = _core.quantize(rows, precision, bounds, sample)
    return quantized[0] if single else quantized


def normalize_embeddings(embeddings: Any) -> NDArray[np.float32]:
    """Divide embeddings by their L2 norms: float32 of the same shape. Norms below 1e-12 count as 1e-12."""
    rows = _arguments.matrix("embeddings", embeddings)
    unit = _core.normalize_embeddings(rows)
    return unit.reshape(-1) if np.ndim(embeddings) == 1 else unit


def truncate_embeddings(embeddings: Any, truncate_dim: int | None) -> Any:
    """Return a view of the first `truncate_dim` columns of an array or tensor, or of all columns for None.

    Raises
    ------
    InvalidArgumentError
        `truncate_dim` is below 1.
    """
    if truncate_dim is None:
        return embeddings
    columns = _arguments.positive("truncate_dim", truncate_dim)
    if isinstance(embeddings, (list, tuple)):
        embeddings = _arguments.matrix("embeddings", embeddings)
    return embeddings[..., :columns]
