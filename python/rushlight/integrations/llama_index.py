"""Classes for LlamaIndex: an embedding model and a reranker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import Model, Reranker
from rushlight.integrations._handle import Handle, without_token
from rushlight.integrations._requires import requires

with requires("llama-index"):
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore, QueryBundle

__all__ = ["RushlightEmbedding", "RushlightRerank"]


class _Pickled:
    """Pickling of a class whose options are extra fields, which LlamaIndex's own leaves out."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without a token."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {**state, "__dict__": without_token({**state["__dict__"], **(state["__pydantic_extra__"] or {})})}


class RushlightEmbedding(_Pickled, BaseEmbedding):
    """Embedding model of LlamaIndex; documents and queries have their own prompts and routes.

    Parameters
    ----------
    model_name
        Name or folder of a model, which is loaded when it is first needed.
    embed_batch_size
        Number of texts that LlamaIndex hands over at a time, at most 2048.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`.
    """

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True, protected_namespaces=())

    model_name: str
    embed_batch_size: int = Field(default=1024, gt=0, le=2048)
    token: str | bool | None = Field(default=None, exclude=True, repr=False)
    _handle: Handle[Model] = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Check the options."""
        super().model_post_init(context)
        self._handle = Handle(Model, self.model_name, {**(self.model_extra or {}), "token": self.token})

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in saved settings."""
        return "RushlightEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        row: list[float] = self._handle.lists(query, "query")
        return row

    def _get_text_embedding(self, text: str) -> list[float]:
        row: list[float] = self._handle.lists(text, "document")
        return row

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._handle.lists(texts, "document")
        return rows

    async def _aget_query_embedding(self, query: str) -> list[float]:
        row: list[float] = await self._handle.lists_async(query, "query")
        return row

    async def _aget_text_embedding(self, text: str) -> list[float]:
        row: list[float] = await self._handle.lists_async(text, "document")
        return row

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = await self._handle.lists_async(texts, "document")
        return rows


class RushlightRerank(_Pickled, BaseNodePostprocessor):
    """Node postprocessor that keeps the most relevant nodes, with the reranker's scores.

    Parameters
    ----------
    model
        Name or folder of a reranker.
    top_n
        Maximum number of nodes to keep; None keeps all, sorted.
    keep_retrieval_score
        Keep the score of retrieval as `retrieval_score` in the node's metadata.
    **options
        Arguments of `rushlight.Reranker`, and `truncation` of `predict`.
    """

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True, protected_namespaces=())

    model: str
    top_n: int | None = None
    keep_retrieval_score: bool = False
    token: str | bool | None = Field(default=None, exclude=True, repr=False)
    _handle: Handle[Reranker] = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Check the options."""
        super().model_post_init(context)
        self._handle = Handle(Reranker, self.model, {**(self.model_extra or {}), "token": self.token})

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in saved settings."""
        return "RushlightRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        return self._scored(nodes, self._handle.ranked(query, _texts(nodes), self.top_n))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        return self._scored(nodes, await self._handle.ranked_async(query, _texts(nodes), self.top_n))

    def _scored(self, nodes: list[NodeWithScore], ranked: list[tuple[int, float]]) -> list[NodeWithScore]:
        found = []
        for i, score in ranked:
            node = nodes[i]
            if self.keep_retrieval_score:
                node.node.metadata["retrieval_score"] = node.score
            node.score = score
            found.append(node)
        return found


def _query(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise ValueError("query_bundle: a reranker needs the query; pass query_bundle or query_str")
    text: str = bundle.query_str
    return text


def _texts(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
