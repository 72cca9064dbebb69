"""Named similarity functions and widths, which all models that embed have."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from rushlight import _arguments, _core
from rushlight._loaded import Loaded

# Classes of the extension module that embed.
Embedding = TypeVar("Embedding", _core.Model, _core.MultiVectorModel, _core.SparseModel)


class Comparing(Loaded[Embedding]):
    """Model whose embeddings are compared by a named function."""

    # Supported names, the kind's default first.
    _similarities: ClassVar[tuple[str, ...]] = ("cosine", "dot", "euclidean", "manhattan")
    _similarity_fn_name: str

    def _take(self, core: Any) -> None:
        super()._take(core)
        self._similarity_fn_name = core.similarity_fn_name

    @property
    def similarity_fn_name(self) -> str:
        """Name of the function that `similarity` computes; it can be set."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        _arguments.one_of("similarity_fn_name", name, self._similarities)
        self._similarity_fn_name = name

    @property
    def embedding_dimension(self) -> int:
        """Number of columns of an embedding."""
        return self._engine.embedding_dimension

    def get_embedding_dimension(self) -> int:
        """Return `embedding_dimension`."""
        return self.embedding_dimension
