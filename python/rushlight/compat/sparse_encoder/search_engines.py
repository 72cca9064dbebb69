"""Search of sparse embeddings by Qdrant, Elasticsearch, OpenSearch and Seismic, through their own clients."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from rushlight import _arguments
from rushlight.compat._sparse import as_embeddings
from rushlight.exceptions import InvalidArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    _Decoded = list[list[tuple[str, float]]]
    _Hits = list[list[dict[str, Any]]]

__all__ = [
    "semantic_search_elasticsearch",
    "semantic_search_opensearch",
    "semantic_search_qdrant",
    "semantic_search_seismic",
]

# Documents that are sent at a time.
_BATCH = 1000


def semantic_search_qdrant(
    query_embeddings: Any,
    corpus_embeddings: Any = None,
    corpus_index: tuple[Any, str] | None = None,
    top_k: int = 10,
    output_index: bool = False,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Search sparse embeddings in Qdrant, by dot products.

    Parameters
    ----------
    query_embeddings, corpus_embeddings
        Sparse embeddings; the corpus is uploaded to a new collection.
    corpus_index
        Client and name of a collection, instead of a corpus.
    top_k
        Number of hits of a query.
    output_index
        Return client and collection, too.
    **kwargs
        Arguments of `QdrantClient`; the default is a server on this machine.

    Returns
    -------
    tuple
        Hits of each query, `corpus_id` and `score`; the seconds that the search took; and the index if asked for.
    """
    qdrant, models = _client("qdrant_client", "qdrant-client"), _client("qdrant_client.models", "qdrant-client")

    def vector(row: Any) -> Any:
        return models.SparseVector(indices=row.indices.tolist(), values=row.values.tolist())

    if corpus_index is None:
        corpus, _ = as_embeddings("corpus_embeddings", _given(corpus_embeddings, "corpus_embeddings"))
        where = {} if {"url", "location", "host", "path"} & set(kwargs) else {"url": "http://localhost:6333"}
        corpus_index = qdrant.QdrantClient(**where, **kwargs), f"sparse_collection_{uuid4().hex}"
        client, name = corpus_index
        client.create_collection(name, vectors_config={}, sparse_vectors_config={"text": models.SparseVectorParams()})
        points = [models.PointStruct(id=i, vector={"text": vector(row)}) for i, row in enumerate(corpus)]
        for batch in _batches(points):
            client.upsert(name, batch)
    client, name = corpus_index
    queries, _ = as_embeddings("query_embeddings", query_embeddings)

    def search(row: Any) -> list[dict[str, Any]]:
        points = client.query_points(name, query=vector(row), limit=top_k, using="text").points
        return [{"corpus_id": point.id, "score": point.score} for point in points]

    return _searched(queries, search, corpus_index if output_index else None)


def semantic_search_elasticsearch(
    query_embeddings_decoded: _Decoded,
    corpus_embeddings_decoded: _Decoded | None = None,
    corpus_index: tuple[Any, str] | None = None,
    top_k: int = 10,
    output_index: bool = False,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Search decoded embeddings in Elasticsearch, by saturated features; see `semantic_search_qdrant`.

    Embeddings are lists of tokens with weights, as `SparseEncoder.decode` returns them. A dot in a token is stored as
    an underscore.
    """

    def features(tokens: list[tuple[str, float]]) -> dict[str, float]:
        return {str(token).replace(".", "_"): weight for token, weight in tokens}

    def query(tokens: list[tuple[str, float]]) -> dict[str, Any]:
        clauses = [
            {"rank_feature": {"field": f"tokens.{token}", "saturation": {}, "boost": weight}}
            for token, weight in features(tokens).items()
        ]
        return {"bool": {"should": clauses, "minimum_should_match": 1}}

    return _by_documents(
        ("elasticsearch", "Elasticsearch", "elasticsearch"),
        (query_embeddings_decoded, corpus_embeddings_decoded, corpus_index),
        (features, query),
        top_k,
        output_index,
        kwargs,
    )


def semantic_search_opensearch(
    query_embeddings_decoded: _Decoded,
    corpus_embeddings_decoded: _Decoded | None = None,
    corpus_index: tuple[Any, str] | None = None,
    top_k: int = 10,
    output_index: bool = False,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Search decoded embeddings in OpenSearch, by a neural sparse query; see `semantic_search_elasticsearch`."""

    def query(tokens: list[tuple[str, float]]) -> dict[str, Any]:
        return {"neural_sparse": {"tokens": {"query_tokens": dict(tokens)}}}

    return _by_documents(
        ("opensearchpy", "OpenSearch", "opensearch-py"),
        (query_embeddings_decoded, corpus_embeddings_decoded, corpus_index),
        (dict, query),
        top_k,
        output_index,
        kwargs,
    )


def _by_documents(
    library: tuple[str, str, str],
    given: tuple[_Decoded, _Decoded | None, tuple[Any, str] | None],
    formats: tuple[Callable[[list[tuple[str, float]]], Any], Callable[[list[tuple[str, float]]], Any]],
    top_k: int,
    output_index: bool,
    options: dict[str, Any],
) -> tuple[Any, ...]:
    """Search a server of documents with a field of token weights."""
    module, kind, package = library
    queries, corpus, index = given
    features, query = formats
    _check("query_embeddings_decoded", queries)
    if index is None:
        _check("corpus_embeddings_decoded", _given(corpus, "corpus_embeddings_decoded"))
        client = getattr(_client(module, package), kind)("http://localhost:9200", **options)
        index = client, f"sparse_index_{uuid4().hex}"
        fields = {"tokens": {"type": "rank_features"}, "id": {"type": "keyword"}}
        client.indices.create(index=index[1], body={"mappings": {"properties": fields}})
        documents = [
            {"_index": index[1], "_id": str(i), "_source": {"id": str(i), "tokens": features(tokens)}}
            for i, tokens in enumerate(corpus or [])
        ]
        helpers = _client(f"{module}.helpers", package)
        for batch in _batches(documents):
            helpers.bulk(client, batch)
        client.indices.refresh(index=index[1])
    client, name = index

    def search(tokens: list[tuple[str, float]]) -> list[dict[str, Any]]:
        found = client.search(index=name, body={"size": top_k, "query": query(tokens)})
        return [{"corpus_id": int(hit["_id"]), "score": hit["_score"]} for hit in found["hits"]["hits"]]

    return _searched(queries, search, index if output_index else None)


def semantic_search_seismic(
    query_embeddings_decoded: _Decoded,
    corpus_embeddings_decoded: _Decoded | None = None,
    corpus_index: Any = None,
    top_k: int = 10,
    output_index: bool = False,
    index_kwargs: dict[str, Any] | None = None,
    search_kwargs: dict[str, Any] | None = None,
) -> tuple[Any, ...]:
    """Search decoded embeddings by an index of Seismic in memory; see `semantic_search_elasticsearch`.

    `index_kwargs` and `search_kwargs` are arguments of `SeismicIndex.build_from_dataset` and `batch_search`.
    """
    seismic = _client("seismic", "pyseismic-lsr")
    kind = seismic.get_seismic_string()
    _check("query_embeddings_decoded", query_embeddings_decoded)
    if corpus_index is None:
        corpus = _given(corpus_embeddings_decoded, "corpus_embeddings_decoded")
        _check("corpus_embeddings_decoded", corpus)
        dataset = seismic.SeismicDataset()
        for i, tokens in enumerate(corpus):
            dataset.add_document(str(i), *_parts(tokens, kind))
        corpus_index = seismic.SeismicIndex.build_from_dataset(dataset, **(index_kwargs or {}))
    parts = [_parts(tokens, kind) for tokens in query_embeddings_decoded]
    start = time.perf_counter()
    found = corpus_index.batch_search(
        queries_ids=np.array(range(len(parts)), dtype=kind),
        query_components=[tokens for tokens, _ in parts],
        query_values=[weights for _, weights in parts],
        k=top_k,
        **{"query_cut": 10, "heap_factor": 0.7, **(search_kwargs or {})},
    )
    seconds = time.perf_counter() - start
    hits: _Hits = [[] for _ in parts]
    for row in filter(None, found):
        hits[int(row[0][0])] = [{"corpus_id": int(document), "score": score} for _, score, document in row]
    return (hits, seconds, corpus_index) if output_index else (hits, seconds)


def _parts(tokens: list[tuple[str, float]], kind: Any) -> tuple[Any, Any]:
    weights = dict(tokens)
    return np.array(list(weights), dtype=kind), np.array(list(weights.values()), dtype=np.float32)


def _searched(queries: Iterable[Any], search: Callable[[Any], list[dict[str, Any]]], index: Any) -> tuple[Any, ...]:
    """Search for each query, and return hits, seconds and the index, if there is one to return."""
    start = time.perf_counter()
    hits = [search(query) for query in queries]
    seconds = time.perf_counter() - start
    return (hits, seconds) if index is None else (hits, seconds, index)


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    return (items[first : first + _BATCH] for first in range(0, len(items), _BATCH))


def _given(corpus: Any, name: str) -> Any:
    if corpus is None:
        raise InvalidArgumentError(f"{name}: give it or corpus_index")
    return corpus


def _check(name: str, decoded: Any) -> None:
    """Check that embeddings are lists of tokens with weights, one for each text."""
    for i, row in enumerate(_arguments.batch(name, decoded)):
        if not isinstance(row, list) or not all(isinstance(part, tuple) and len(part) == 2 for part in row):
            raise InvalidArgumentError(f"{name}[{i}]: must be a list of tokens with weights, [('token', 1.5), ...]")


def _client(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(f"this needs {package}, which is not installed: pip install {package}") from error
