"""Classes of fastembed that compute with rushlight: change the import and keep the code.

Names of ONNX conversions load the models that they were made of. fastembed itself is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from rushlight import Model, MultiVectorModel, Reranker, SparseModel, set_num_threads
from rushlight.exceptions import InvalidArgumentError, UnsupportedModelError
from rushlight.integrations._handle import Handle, Kind

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LateInteractionTextEmbedding",
    "SparseEmbedding",
    "SparseTextEmbedding",
    "TextCrossEncoder",
    "TextEmbedding",
]

# Conversions in fastembed's lists, and the models that they were made of.
_ORIGINALS = {
    "Qdrant/all-MiniLM-L6-v2-onnx": "sentence-transformers/all-MiniLM-L6-v2",
    "qdrant/all-MiniLM-L6-v2-onnx": "sentence-transformers/all-MiniLM-L6-v2",
    "Qdrant/bge-small-en-v1.5-onnx-Q": "BAAI/bge-small-en-v1.5",
    "qdrant/bge-small-en-v1.5-onnx-q": "BAAI/bge-small-en-v1.5",
    "Qdrant/bge-base-en-v1.5-onnx-Q": "BAAI/bge-base-en-v1.5",
    "Qdrant/bge-large-en-v1.5-onnx": "BAAI/bge-large-en-v1.5",
    "Qdrant/multilingual-e5-large-onnx": "intfloat/multilingual-e5-large",
    "Qdrant/Splade_PP_en_v1": "prithivida/Splade_PP_en_v1",
    "prithvida/Splade_PP_en_v1": "prithivida/Splade_PP_en_v1",
    "Xenova/ms-marco-MiniLM-L-6-v2": "cross-encoder/ms-marco-MiniLM-L6-v2",
    "Xenova/ms-marco-MiniLM-L-12-v2": "cross-encoder/ms-marco-MiniLM-L12-v2",
    "snowflake/snowflake-arctic-embed-xs": "Snowflake/snowflake-arctic-embed-xs",
    "snowflake/snowflake-arctic-embed-s": "Snowflake/snowflake-arctic-embed-s",
    "snowflake/snowflake-arctic-embed-m": "Snowflake/snowflake-arctic-embed-m",
    "snowflake/snowflake-arctic-embed-m-long": "Snowflake/snowflake-arctic-embed-m-long",
    "snowflake/snowflake-arctic-embed-l": "Snowflake/snowflake-arctic-embed-l",
}
# Models of fastembed's own, and those whose originals compute something else.
_NONE = {
    "Qdrant/bm25",
    "Qdrant/bm42-all-minilm-l6-v2-attentions",
    "Qdrant/clip-ViT-B-32-text",
    "Qdrant/constella-nano",
    "Qdrant/constella-zero",
    "Qdrant/minicoil-v1",
    "Qdrant/stella-en-400M-v5-doc-onnx",
}
# Arguments of fastembed that say what rushlight decides by itself.
_IGNORED = ("lazy_load", "device_ids", "providers")


@dataclass
class SparseEmbedding:
    """Weights of a text: `values` and the ids of their tokens, `indices`."""

    values: NDArray[np.float32]
    indices: NDArray[np.int32]

    def as_object(self) -> dict[str, NDArray[Any]]:
        """Return both arrays by name."""
        return {"values": self.values, "indices": self.indices}

    def as_dict(self) -> dict[int, float]:
        """Return the weights by token id."""
        return dict(zip(self.indices.tolist(), self.values.tolist(), strict=True))


class _Base(Generic[Kind]):
    """Arguments that all classes share.

    Parameters
    ----------
    model_name
        Name of a model in fastembed's lists or on the hub, or a folder.
    cache_dir
        Hugging Face cache to use instead of the environment's.
    threads
        Maximum number of threads, for all models of the process together.
    providers, device_ids, lazy_load
        Without effect.
    cuda
        Compute on the first NVIDIA GPU.
    specific_model_path
        Folder of the model.
    **options
        Arguments of the class of rushlight, such as `dtype` and `local_files_only`.
    """

    _kind: ClassVar[type[Any]]

    def __init__(
        self,
        model_name: str,
        cache_dir: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        *,
        cuda: bool = False,
        specific_model_path: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        if model_name in _NONE:
            raise UnsupportedModelError(f"{model_name}: rushlight has no such model; use fastembed for it")
        if threads is not None:
            set_num_threads(threads)
        given = {name: value for name, value in options.items() if name not in _IGNORED}
        place = _ORIGINALS.get(model_name, model_name) if specific_model_path is None else specific_model_path
        given |= {"cache_folder": cache_dir, "device": "cuda" if cuda else given.get("device")}
        self.model_name = model_name
        self._handle: Handle[Kind] = Handle(self._kind, place, given)

    @property
    def model(self) -> Kind:
        """Model of rushlight that computes."""
        return self._handle.model

    @property
    def embedding_size(self) -> int:
        """Number of columns of an embedding."""
        return self._handle.dimension

    def token_count(self, texts: str | Iterable[str], **_options: Any) -> int:
        """Return the number of tokens of all texts."""
        counts: list[int] = self.model.count_tokens([texts] if isinstance(texts, str) else texts)
        return sum(counts)


class TextEmbedding(_Base[Model]):
    """fastembed's class for dense embeddings; see `rushlight.Model`."""

    _kind = Model

    def __init__(self, model_name: str = "BAAI/bge-small-en-v1.5", *args: Any, **options: Any) -> None:
        super().__init__(model_name, *args, **options)

    def embed(
        self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None, **_options: Any
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the embedding of each text, in constant memory; `parallel` has no effect: threads share the work.

        Like fastembed, it uses no prompts unless the model has a default one.
        """
        return self._rows(documents, batch_size)

    def query_embed(self, query: str | Iterable[str], **_options: Any) -> Iterator[NDArray[np.float32]]:
        """Yield the embedding of each query, with the model's prompt for queries."""
        return self._rows(query, 256, role="query")

    def passage_embed(self, texts: Iterable[str], **_options: Any) -> Iterator[NDArray[np.float32]]:
        """Yield the embedding of each document, with the model's prompt for documents."""
        return self._rows(texts, 256, role="document")

    def _rows(self, texts: str | Iterable[str], chunk: int, **options: Any) -> Iterator[NDArray[np.float32]]:
        listed = [texts] if isinstance(texts, str) else texts
        options |= self._handle.call_options
        for rows in self.model.encode_iter(listed, chunk_size=chunk, **options):
            yield from rows


class SparseTextEmbedding(_Base[SparseModel]):
    """fastembed's class for sparse embeddings; see `rushlight.SparseModel`."""

    _kind = SparseModel

    def embed(
        self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None, **_options: Any
    ) -> Iterator[SparseEmbedding]:
        """Yield the embedding of each document."""
        for chunk in _chunks(documents, batch_size):
            for row in self._handle.encode(chunk, "document"):
                yield SparseEmbedding(row.values, row.indices)

    def passage_embed(self, texts: Iterable[str], **_options: Any) -> Iterator[SparseEmbedding]:
        """Yield the embedding of each document."""
        return self.embed(texts)

    def query_embed(self, query: str | Iterable[str], **_options: Any) -> Iterator[SparseEmbedding]:
        """Yield the embedding of each query."""
        for row in self._handle.encode(_listed(query), "query"):
            yield SparseEmbedding(row.values, row.indices)


class LateInteractionTextEmbedding(_Base[MultiVectorModel]):
    """fastembed's class for a vector per token; see `rushlight.MultiVectorModel`."""

    _kind = MultiVectorModel

    def embed(
        self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None, **_options: Any
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of each document, `(tokens, d)`."""
        for chunk in _chunks(documents, batch_size):
            yield from self._handle.encode(chunk, "document")

    def passage_embed(self, texts: Iterable[str], **_options: Any) -> Iterator[NDArray[np.float32]]:
        """Yield the embedding of each document."""
        return self.embed(texts)

    def query_embed(self, query: str | Iterable[str], **_options: Any) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of each query, `(tokens, d)`."""
        yield from self._handle.encode(_listed(query), "query")


class TextCrossEncoder(_Base[Reranker]):
    """fastembed's class for rerankers; see `rushlight.Reranker`. Scores are logits, as fastembed's."""

    _kind = Reranker

    def rerank(
        self, query: str, documents: Iterable[str], batch_size: int = 64, parallel: int | None = None, **_options: Any
    ) -> Iterator[float]:
        """Yield the score of each document for a query, in their order."""
        return self.rerank_pairs(((query, document) for document in documents), batch_size, parallel)

    def rerank_pairs(
        self, pairs: Iterable[tuple[str, str]], batch_size: int = 64, parallel: int | None = None, **_options: Any
    ) -> Iterator[float]:
        """Yield the score of each pair of a query and a document."""
        iterator = iter(pairs)
        while chunk := [(query, document) for query, document in islice(iterator, batch_size)]:
            scores = self.model.predict(chunk, activation_fn="identity", **self._handle.call_options)
            if scores.ndim != 1:
                raise InvalidArgumentError(f"{self.model_name}: has {scores.shape[1]} labels, must have one")
            yield from scores.tolist()


def _listed(texts: str | Iterable[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _chunks(texts: str | Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter([texts] if isinstance(texts, str) else texts)
    while chunk := list(islice(iterator, size)):
        yield chunk
