"""Embedding functions for Chroma, dense and sparse.

Importing this module registers them by name. A program that opens a collection of theirs must import it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from rushlight import Model, SparseModel
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations._handle import Handle, Kind, sparse_rows
from rushlight.integrations._requires import requires

with requires("chroma"):
    from chromadb import Documents, EmbeddingFunction, Embeddings
    from chromadb.api.types import SparseEmbeddingFunction
    from chromadb.base_types import SparseVector
    from chromadb.utils.embedding_functions import register_embedding_function, register_sparse_embedding_function

if TYPE_CHECKING:
    import os

    from typing_extensions import Self

__all__ = ["RushlightEmbeddingFunction", "RushlightSparseEmbeddingFunction"]


class _Saved(Generic[Kind]):
    """Settings of both functions in a collection: the model's name and its options, without the token."""

    _handle: Handle[Kind]

    @classmethod
    def build_from_config(cls, config: dict[str, Any]) -> Self:
        """Return a function with saved settings."""
        return cls(config["model"], **config.get("options", {}))  # type: ignore[call-arg]

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        return {"model": self._handle.name, "options": self._handle.settings()}

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """Check saved settings.

        Raises
        ------
        InvalidArgumentError
            The settings have no model.
        """
        if not isinstance(config.get("model"), str) or not isinstance(config.get("options", {}), dict):
            raise InvalidArgumentError("config: must have a str `model` and optionally a dict `options`")

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Check that new settings keep the embeddings: a model may move, but keeps its options.

        Raises
        ------
        InvalidArgumentError
            An option that changes embeddings differs.
        """
        places = {"device", "cache_folder", "local_files_only", "truncation"}
        for name in {*old_config.get("options", {}), *new_config.get("options", {})} - places:
            old, new = (config.get("options", {}).get(name) for config in (old_config, new_config))
            if old != new:
                raise InvalidArgumentError(f"{name}: can't change from {old!r} to {new!r}, which changes embeddings")


@register_embedding_function
class RushlightEmbeddingFunction(_Saved[Model], EmbeddingFunction[Documents]):
    """Embedding function of Chroma; documents and queries have their own prompts and routes.

    Parameters
    ----------
    model
        Name or folder of a model, which is loaded when it is first needed.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`. All
        but the token are saved with a collection.
    """

    def __init__(self, model: str | os.PathLike[str], **options: Any) -> None:
        self._handle = Handle(Model, model, options)

    def __call__(self, input: Documents) -> Embeddings:  # noqa: A002 -- Chroma checks the name
        """Embed documents."""
        rows: Embeddings = list(self._handle.encode(list(input), "document"))
        return rows

    def embed_query(self, input: Documents) -> Embeddings:  # noqa: A002
        """Embed queries."""
        rows: Embeddings = list(self._handle.encode(list(input), "query"))
        return rows

    @staticmethod
    def name() -> str:
        """Return the name in saved collections."""
        return "rushlight"

    def default_space(self) -> str:
        """Return the distance of the model's similarity function."""
        model = self._handle.model
        return {"dot": "ip", "euclidean": "l2"}.get(model.similarity_fn_name, "cosine")

    def supported_spaces(self) -> list[str]:
        """Return all distances."""
        return ["cosine", "l2", "ip"]


@register_sparse_embedding_function
class RushlightSparseEmbeddingFunction(_Saved[SparseModel], SparseEmbeddingFunction[Documents]):
    """Sparse embedding function of Chroma.

    Parameters
    ----------
    model
        Name or folder of a sparse model, which is loaded when it is first needed.
    **options
        Arguments of `rushlight.SparseModel`, and `max_active_dims` and `truncation` of `encode`. All but the token are
        saved with a collection.
    """

    def __init__(self, model: str | os.PathLike[str], **options: Any) -> None:
        self._handle = Handle(SparseModel, model, options)

    def __call__(self, input: Documents) -> list[SparseVector]:  # noqa: A002 -- Chroma checks the name
        """Embed documents."""
        rows = sparse_rows(self._handle.encode(list(input), "document"))
        return [SparseVector(indices=indices, values=values) for indices, values in rows]

    def embed_query(self, input: Documents) -> list[SparseVector]:  # noqa: A002
        """Embed queries."""
        rows = sparse_rows(self._handle.encode(list(input), "query"))
        return [SparseVector(indices=indices, values=values) for indices, values in rows]

    @staticmethod
    def name() -> str:
        """Return the name in saved collections."""
        return "rushlight-sparse"
