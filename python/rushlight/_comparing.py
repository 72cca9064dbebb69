"""Named similarity functions and widths, which all models that embed have, and the comparing methods of `Model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rushlight import _arguments, _core
from rushlight._loaded import Loaded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rushlight._model import Model

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


def similarity(self: Model, a: Any, b: Any) -> NDArray[np.float32]:
    """Score every embedding in `a` against every one in `b` by `similarity_fn_name`.

    Parameters
    ----------
    a, b
        Arrays, tensors or lists of any float dtype, `(n, d)` and `(m, d)`; `(d,)` is one embedding.

    Returns
    -------
    numpy.ndarray
        float32 `(n, m)`; higher is more similar.
    """
    _ = self._engine  # raises for a closed model
    return _core.similarity(self._similarity_fn_name, _arguments.matrix("a", a), _arguments.matrix("b", b))


def similarity_pairwise(self: Model, a: Any, b: Any) -> NDArray[np.float32]:
    """Score each embedding in `a` against the one at the same position in `b`: float32 `(n,)`."""
    _ = self._engine
    return _core.similarity_pairwise(self._similarity_fn_name, _arguments.matrix("a", a), _arguments.matrix("b", b))
