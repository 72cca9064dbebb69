"""Classes for LangChain: embeddings, a reranker, and sparse embeddings for Qdrant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import Model, Reranker
from rushlight.integrations._handle import Handle
from rushlight.integrations._requires import requires

with requires("langchain"):
    from langchain_core.documents.compressor import BaseDocumentCompressor
    from langchain_core.embeddings import Embeddings
    from pydantic import ConfigDict, Field, PrivateAttr

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import Document

__all__ = ["RushlightEmbeddings", "RushlightReranker", "RushlightSparseEmbeddings"]  # noqa: F822 -- imported late


class RushlightEmbeddings(Embeddings):
    """Embeddings of LangChain; documents and queries have their own prompts and routes.

    Parameters
    ----------
    model
        Name or folder of a model, which is loaded when it is first needed, or a `rushlight.Model`.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`.
    """

    def __init__(self, model: str | os.PathLike[str] | Model, **options: Any) -> None:
        self._handle = Handle(Model, model, options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents."""
        rows: list[list[float]] = self._handle.lists(texts, "document")
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Embed a query."""
        row: list[float] = self._handle.lists(text, "query")
        return row

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents on another thread; cancelling stops it."""
        rows: list[list[float]] = await self._handle.lists_async(texts, "document")
        return rows

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query on another thread."""
        row: list[float] = await self._handle.lists_async(text, "query")
        return row

    def __repr__(self) -> str:
        return f"RushlightEmbeddings({self._handle!r})"


class RushlightReranker(BaseDocumentCompressor):
    """Document compressor that keeps the most relevant documents, with their scores as `relevance_score` in `metadata`.

    Parameters
    ----------
    model
        Name or folder of a reranker, or a `rushlight.Reranker`.
    top_n
        Maximum number of documents to keep; None keeps all, sorted.
    **options
        Arguments of `rushlight.Reranker`, and `truncation` of `predict`.
    """

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)

    model: Any
    top_n: int | None = None
    token: str | bool | None = Field(default=None, exclude=True, repr=False)
    _handle: Handle[Reranker] = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Check the options."""
        super().model_post_init(context)
        self._handle = Handle(Reranker, self.model, {**(self.model_extra or {}), "token": self.token})

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the most relevant documents for a query, best first."""
        _ = callbacks  # nothing to report
        return _scored(documents, self._handle.ranked(query, _texts(documents), self.top_n))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Do the same on another thread; cancelling stops it."""
        _ = callbacks
        return _scored(documents, await self._handle.ranked_async(query, _texts(documents), self.top_n))


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _scored(documents: Sequence[Document], ranked: list[tuple[int, float]]) -> list[Document]:
    """Return copies of the ranked documents with their scores."""
    return [
        documents[i].model_copy(update={"metadata": {**documents[i].metadata, "relevance_score": score}})
        for i, score in ranked
    ]


def __getattr__(name: str) -> Any:
    """Import the class for Qdrant, which needs another package, when it is asked for."""
    if name == "RushlightSparseEmbeddings":
        from rushlight.integrations._langchain_qdrant import RushlightSparseEmbeddings

        return RushlightSparseEmbeddings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
