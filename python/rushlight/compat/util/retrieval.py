"""Searching and mining."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rushlight import _arguments, util
from rushlight._searching import hits, search_by
from rushlight.compat._sparse import as_embeddings, as_tensor, is_sparse
from rushlight.compat._tensors import dense, tensor
from rushlight.compat.util.similarity import cos_sim, dot_score, euclidean_sim, manhattan_sim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rushlight import Model

    _ScoreFunction = str | Callable[[Any, Any], Any]
    _P = ParamSpec("_P")
    _R = TypeVar("_R")

__all__ = [
    "community_detection",
    "information_retrieval",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "semantic_search",
]

pytorch_cos_sim = cos_sim

# Score functions by the names that rushlight has for them.
_NAMES = {"cos_sim": cos_sim, "dot": dot_score, "euclidean": euclidean_sim, "manhattan": manhattan_sim}


def _wrapped(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function of rushlight take all kinds of embeddings, and the score functions of this package."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        given = signature.bind(*args, **kwargs).arguments
        given["embeddings"] = dense(given["embeddings"])
        if "score_function" in given:
            given["score_function"] = _score_function(given["score_function"])
        return function(**given)  # type: ignore[call-arg]  # as they were given

    wrapper.__module__ = __name__  # where pickles find it
    return wrapper


paraphrase_mining_embeddings = _wrapped(util.paraphrase_mining_embeddings)
"""Find the most similar pairs of embeddings; see `rushlight.util.paraphrase_mining_embeddings`."""
community_detection = _wrapped(util.community_detection)
"""Find groups of similar embeddings; see `rushlight.util.community_detection`."""


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: _ScoreFunction = cos_sim,
) -> list[list[dict[str, Any]]]:
    """Find the embeddings of a corpus that are most similar to each query; see `rushlight.util.semantic_search`.

    Both may be sparse. A `score_function` of your own receives tensors if torch is installed; without torch it receives
    arrays or `SparseEmbeddings`.
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


information_retrieval = semantic_search
"""Older name of `semantic_search`."""


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
    """Embed sentences and find the most similar pairs; see `rushlight.util.paraphrase_mining_embeddings`."""
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


def _search_sparse(
    queries: Any,
    corpus: Any,
    query_chunk_size: int,
    corpus_chunk_size: int,
    top_k: int,
    function: _ScoreFunction,
) -> list[list[dict[str, Any]]]:
    """Search by blocks, so that memory doesn't grow to the size of dense embeddings."""
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
    """Return the name of a score function of this package, or a callable on arrays for a caller's own on tensors."""
    if not callable(function):
        return function
    own = next((name for name, known in _NAMES.items() if known is function), None)
    return own or (lambda a, b: function(tensor(a), tensor(b)))
