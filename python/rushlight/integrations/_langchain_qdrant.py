"""Sparse embeddings for LangChain's Qdrant store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import SparseModel
from rushlight._asynchronous import on_a_thread
from rushlight.integrations._handle import Handle, sparse_rows
from rushlight.integrations._requires import requires

with requires("langchain-qdrant"):
    from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector

if TYPE_CHECKING:
    import os


class RushlightSparseEmbeddings(SparseEmbeddings):
    """Sparse embeddings for `QdrantVectorStore`.

    Parameters
    ----------
    model
        Name or folder of a sparse model, or a `rushlight.SparseModel`.
    **options
        Arguments of `rushlight.SparseModel`, and `max_active_dims` and `truncation` of its `encode`.
    """

    def __init__(self, model: str | os.PathLike[str] | SparseModel, **options: Any) -> None:
        self._handle = Handle(SparseModel, model, options)

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Embed documents."""
        rows = sparse_rows(self._handle.encode(texts, "document"))
        return [SparseVector(indices=indices, values=values) for indices, values in rows]

    def embed_query(self, text: str) -> SparseVector:
        """Embed a query."""
        ((indices, values),) = sparse_rows(self._handle.encode([text], "query"))
        return SparseVector(indices=indices, values=values)

    async def aembed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Embed documents on another thread; cancelling stops it."""
        rows: list[SparseVector] = await on_a_thread(self.embed_documents, texts)
        return rows

    async def aembed_query(self, text: str) -> SparseVector:
        """Embed a query on another thread."""
        row: SparseVector = await on_a_thread(self.embed_query, text)
        return row

    def __repr__(self) -> str:
        return f"RushlightSparseEmbeddings({self._handle!r})"
