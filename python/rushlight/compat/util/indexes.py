"""Search by the indexes of faiss and usearch."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, util
from rushlight.compat._tensors import dense
from rushlight.exceptions import InvalidArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    _Found = tuple[NDArray[Any], NDArray[Any]]

__all__ = ["semantic_search_faiss", "semantic_search_usearch"]

_CODES = (np.uint8, np.int8)


def semantic_search_faiss(
    query_embeddings: Any,
    corpus_embeddings: Any = None,
    corpus_index: Any = None,
    corpus_precision: str = "float32",
    top_k: int = 10,
    ranges: Any = None,
    calibration_embeddings: Any = None,
    rescore: bool = True,
    rescore_multiplier: int = 2,
    exact: bool = True,
    output_index: bool = False,
) -> tuple[Any, ...]:
    """Search a corpus by an index of faiss, by dot products or, for bits, Hamming distances.

    Parameters
    ----------
    query_embeddings, corpus_embeddings
        Queries, float32 or of the corpus' precision, and the corpus, if there is no index.
    corpus_index
        Index of an earlier call.
    corpus_precision
        "float32", "uint8" or "ubinary".
    top_k
        Number of hits of a query.
    ranges, calibration_embeddings
        See `quantize_embeddings`.
    rescore
        Score `rescore_multiplier * top_k` candidates again with float32 queries, unless the corpus is float32.
    rescore_multiplier
        Number of candidates per hit.
    exact
        Search a flat index, and else an HNSW graph.
    output_index
        Return the index, too.

    Returns
    -------
    tuple
        Hits of each query, `corpus_id` and `score`; the seconds that the search took; and the index if asked for.
    """
    _arguments.one_of("corpus_precision", corpus_precision, ("float32", "uint8", "ubinary"))
    faiss = _needed("faiss", "faiss-cpu")
    if _one_is_given(corpus_embeddings, corpus_index):
        corpus = np.asarray(corpus_embeddings)
        corpus_index = _faiss_index(faiss, corpus.shape[1], corpus_precision, exact)
        corpus_index.add(corpus)

    def search(codes: NDArray[Any], count: int) -> _Found:
        scores, ids = corpus_index.search(codes, count)
        return scores, ids

    def vectors(ids: NDArray[Any]) -> NDArray[Any]:
        return np.array([[corpus_index.reconstruct(int(i)) for i in row] for row in ids])

    request = _Request(corpus_precision, top_k, ranges, calibration_embeddings, rescore, rescore_multiplier)
    found = request.run(query_embeddings, search, vectors)
    return (*found, corpus_index) if output_index else found


def semantic_search_usearch(
    query_embeddings: Any,
    corpus_embeddings: Any = None,
    corpus_index: Any = None,
    corpus_precision: str = "float32",
    top_k: int = 10,
    ranges: Any = None,
    calibration_embeddings: Any = None,
    rescore: bool = True,
    rescore_multiplier: int = 2,
    exact: bool = True,
    output_index: bool = False,
) -> tuple[Any, ...]:
    """Search a corpus by an index of usearch, by cosine distances of float32; see `semantic_search_faiss`.

    `corpus_precision` is "float32", "int8", "ubinary" or "binary". Scores that are not computed again are distances.
    """
    _arguments.one_of("corpus_precision", corpus_precision, ("float32", "int8", "ubinary", "binary"))
    index = _needed("usearch.index", "usearch")
    if _one_is_given(corpus_embeddings, corpus_index):
        corpus = _unsigned(np.asarray(corpus_embeddings), corpus_precision)
        metric, dtype, columns = {"float32": ("cos", "f32", 1), "int8": ("ip", "i8", 1)}.get(
            corpus_precision, ("hamming", "b1", 8)
        )
        corpus_index = index.Index(ndim=corpus.shape[1] * columns, metric=metric, dtype=dtype)
        corpus_index.add(np.arange(len(corpus)), corpus)

    def search(codes: NDArray[Any], count: int) -> _Found:
        codes = _unsigned(codes, corpus_precision)
        if not len(corpus_index):
            return np.zeros((len(codes), 0)), np.zeros((len(codes), 0), np.int64)
        matches = corpus_index.search(codes, count=count, exact=exact)
        scores, ids = np.atleast_2d(matches.distances), np.atleast_2d(matches.keys).astype(np.int64)
        counts: Any = np.reshape(np.asarray(getattr(matches, "counts", ids.shape[1])), (-1, 1))
        return scores, np.where(np.arange(ids.shape[1]) < counts, ids, -1)

    def vectors(ids: NDArray[Any]) -> NDArray[Any]:
        return np.array([corpus_index.get(row) for row in ids])

    request = _Request(corpus_precision, top_k, ranges, calibration_embeddings, rescore, rescore_multiplier)
    found = request.run(query_embeddings, search, vectors)
    return (*found, corpus_index) if output_index else found


class _Request:
    """Search with candidates that are scored again."""

    def __init__(
        self,
        precision: str,
        top_k: int,
        ranges: Any,
        calibration: Any,
        rescore: bool,
        multiplier: int,
    ) -> None:
        self._precision, self._ranges, self._calibration = precision, ranges, dense(calibration)
        self._top_k = _arguments.positive("top_k", top_k)
        self._rescore, self._multiplier = rescore, _arguments.positive("rescore_multiplier", multiplier)

    def run(
        self,
        query_embeddings: Any,
        search: Callable[[NDArray[Any], int], _Found],
        vectors: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> tuple[list[list[dict[str, Any]]], float]:
        queries = np.asarray(dense(query_embeddings))
        again = self._rescore and self._precision != "float32" and queries.dtype not in _CODES
        codes = queries
        if queries.dtype not in _CODES:
            if again and self._precision in ("int8", "uint8") and self._ranges is None:
                sample = queries if self._calibration is None else self._calibration
                self._ranges = np.vstack([sample.min(axis=0), sample.max(axis=0)])
            codes = np.asarray(util.quantize_embeddings(queries, self._precision, self._ranges, self._calibration))
        start = time.perf_counter()
        scores, ids = search(codes, self._top_k * self._multiplier if again else self._top_k)
        if again:
            scores, ids = self._scored(queries, ids, vectors)
        seconds = time.perf_counter() - start
        return [
            [{"corpus_id": int(i), "score": float(score)} for i, score in zip(row, best, strict=True) if i >= 0]
            for row, best in zip(ids, scores, strict=True)
        ], seconds

    def _scored(
        self, queries: NDArray[Any], ids: NDArray[Any], vectors: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> _Found:
        """Score candidates again by dot products with float32 queries; -1 stands for no candidate."""
        found = ids[ids >= 0]
        if not found.size:
            return np.zeros(ids.shape), ids
        codes = vectors(np.where(ids >= 0, ids, found[0]))
        if self._precision in ("binary", "ubinary"):
            rows = np.unpackbits(codes.astype(np.uint8), axis=-1)[..., : queries.shape[1]].astype(np.float64)
        else:
            least, most = np.asarray(self._ranges, dtype=np.float64)
            levels = codes.astype(np.float64) + (128 if self._precision == "int8" else 0)
            rows = levels * (most - least) / 255 + least
        scores = np.einsum("ij,ikj->ik", queries, rows)
        scores[ids < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._top_k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def _unsigned(codes: NDArray[Any], precision: str) -> NDArray[Any]:
    """Return packed bits of int8 as uint8."""
    return codes.view(np.uint8) ^ np.uint8(128) if precision == "binary" and codes.dtype == np.int8 else codes


def _faiss_index(faiss: Any, columns: int, precision: str, exact: bool) -> Any:
    if precision == "ubinary":
        return faiss.IndexBinaryFlat(columns * 8) if exact else faiss.IndexBinaryHNSW(columns * 8, 16)
    return faiss.IndexFlatIP(columns) if exact else faiss.IndexHNSWFlat(columns, 16, faiss.METRIC_INNER_PRODUCT)


def _one_is_given(corpus_embeddings: Any, corpus_index: Any) -> bool:
    """Check that either a corpus or an index is given, and return True for a corpus."""
    if (corpus_embeddings is None) == (corpus_index is None):
        raise InvalidArgumentError("corpus_index: give either corpus_embeddings or corpus_index")
    return corpus_index is None


def _needed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(f"this needs {package}, which is not installed: pip install {package}") from error
