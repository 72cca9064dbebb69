"""Embedding function for LanceDB, registered as "rushlight".

A program that opens a table of it must import this module first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import Model
from rushlight.integrations._handle import Handle
from rushlight.integrations._requires import requires

with requires("lancedb"):
    from lancedb.embeddings import TextEmbeddingFunction, register
    from pydantic import ConfigDict, PrivateAttr

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RushlightEmbeddings"]


@register("rushlight")
class RushlightEmbeddings(TextEmbeddingFunction):
    """Embedding function of LanceDB; rows and queries have their own prompts and routes.

    Make it with `RushlightEmbeddings.create(model=…)`, whose arguments a table keeps.

    Parameters
    ----------
    model
        Name or folder of a model, which is loaded when it is first needed.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`. A
        `token` must be a variable of LanceDB, such as "$var:token".
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str
    _handle: Handle[Model] = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Check the options."""
        super().model_post_init(context)
        self._handle = Handle(Model, self.model, self.model_extra or {})

    @staticmethod
    def sensitive_keys() -> list[str]:
        """Return the options that must not be in a table."""
        return ["token"]

    def ndims(self) -> int:
        """Return the number of columns of an embedding."""
        return self._handle.dimension

    def generate_embeddings(self, texts: Iterable[str], *_args: Any, **_options: Any) -> list[NDArray[np.float32]]:
        """Embed rows."""
        return list(self._handle.encode(list(texts), "document"))

    def compute_query_embeddings(self, query: Any, *_args: Any, **_options: Any) -> list[NDArray[np.float32]]:
        """Embed queries."""
        return list(self._handle.encode(list(self.sanitize_input(query)), "query"))
