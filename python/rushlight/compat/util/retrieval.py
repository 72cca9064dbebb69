"""Searching and mining: a part of `rushlight.compat.util`, where sentence-transformers has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import _arguments, util
from rushlight._searching import hits, search_by
from rushlight.compat._refused import refusing
from rushlight.compat._sparse import as_embeddings, as_tensor, is_sparse
from rushlight.compat._tensors import dense, tensor
from rushlight.compat.similarity_functions import cos_sim, dot_score, euclidean_sim, manhattan_sim, pytorch_cos_sim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rushlight import Model

    _ScoreFunction = str | Callable[[Any, Any], Any]

__all__ = [
    "community_detection",
    "information_retrieval",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "semantic_search",
]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)

_FUNCTIONS: dict[Any, Callable[[Any, Any], Any]] = {
    cos_sim: util.cos_sim,
    pytorch_cos_sim: util.cos_sim,
    dot_score: util.dot_score,
    euclidean_sim: util.euclidean_sim,
    manhattan_sim: util.manhattan_sim,
}
_NAMES = {"cos_sim": cos_sim, "dot": dot_score, "euclidean": euclidean_sim, "manhattan": manhattan_sim}


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: _ScoreFunction = cos_sim,
) -> list[list[dict[str, Any]]]:
    """Find the embeddings of a corpus that are most similar to each query; see `rushlight.util.semantic_search`.

    Both may be sparse. A `score_function` of your own is given tensors where torch is installed, and else arrays or
    `SparseEmbeddings`.
    """
    if is_sparse(query_embeddings) or is_sparse(corpus_embeddings):
        return _search_sparse(
            as_embeddings("query_embeddings", query_embeddings)[0],
            as_embeddings("corpus_embeddings", corpus_embeddings)[0],
            _arguments.positive("query_chunk_size", query_chunk_size),
            _arguments.positive("corpus_chunk_size", corpus_chunk_size),
            _arguments.positive("top_k", top_k),
            score_function,
        )
    return util.semantic_search(
        dense(query_embeddings),
        dense(corpus_embeddings),
        query_chunk_size,
        corpus_chunk_size,
        top_k,
        _score_function(score_function),
    )


def information_retrieval(*args: Any, **kwargs: Any) -> list[list[dict[str, Any]]]:
    """Return `semantic_search`; the older name."""
    return semantic_search(*args, **kwargs)


def paraphrase_mining(
    model: Model,
    sentences: Iterable[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: _ScoreFunction = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[Any]]:
    """Embed sentences and find the most similar pairs of them; see `rushlight.util.paraphrase_mining_embeddings`."""
    embeddings = model.encode(
        sentences,
        show_progress_bar=show_progress_bar,
        batch_size=batch_size,
        truncate_dim=truncate_dim,
        prompt_name=prompt_name,
        prompt=prompt,
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: Any,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: _ScoreFunction = cos_sim,
) -> list[list[Any]]:
    """Find the most similar pairs of embeddings; see `rushlight.util.paraphrase_mining_embeddings`."""
    return util.paraphrase_mining_embeddings(
        dense(embeddings), query_chunk_size, corpus_chunk_size, max_pairs, top_k, _score_function(score_function)
    )


def community_detection(
    embeddings: Any,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Find groups of embeddings that are close to one of them; see `rushlight.util.community_detection`."""
    return util.community_detection(dense(embeddings), threshold, min_community_size, batch_size, show_progress_bar)


def _search_sparse(
    queries: Any,
    corpus: Any,
    query_chunk_size: int,
    corpus_chunk_size: int,
    top_k: int,
    function: _ScoreFunction,
) -> list[list[dict[str, Any]]]:
    """Find by blocks, so that nothing is held that is as large as dense embeddings."""
    if not callable(function):
        _arguments.one_of("score_function", function, tuple(_NAMES))
    score = function if callable(function) else _NAMES[function]

    def scores(some: Any, others: Any) -> Any:
        return score(*(as_tensor(side, sparse=True, single=False) for side in (some, others)))

    found: list[list[dict[str, Any]]] = []
    for first in range(0, len(queries), query_chunk_size):
        some = queries[first : first + query_chunk_size]
        found += hits(*search_by(scores, some, corpus, corpus_chunk_size, top_k))
    return found


def _score_function(function: _ScoreFunction) -> _ScoreFunction:
    """Return rushlight's own function for one of these, and a stranger's as one that takes arrays."""
    if not callable(function):
        return function
    try:
        own = _FUNCTIONS.get(function)
    except TypeError:  # a callable that has no hash
        own = None
    return own or (lambda a, b: function(tensor(a), tensor(b)))
