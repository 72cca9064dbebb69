"""Comparing embeddings, and how many of their columns there are."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rushlight import _arguments, _core
from rushlight._loaded import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

_SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


class Comparing(Loaded[_core.Model]):
    """What a model of sentence embeddings does with embeddings."""

    _similarity_fn_name: str
    _truncate_dim: int | None

    def _take(self, core: _core.Model) -> None:
        super()._take(core)
        self._similarity_fn_name = core.similarity_fn_name
        self._truncate_dim = core.truncate_dim

    def _prefer(self, similarity_fn_name: str | None, truncate_dim: int | None) -> None:
        """Set what is given, in place of what the folder says."""
        if similarity_fn_name is not None:
            self.similarity_fn_name = similarity_fn_name
        if truncate_dim is not None:
            self.truncate_dim = truncate_dim

    # Comparing

    def similarity(self, a: Any, b: Any) -> NDArray[np.float32]:
        """Compare every embedding in `a` with every one in `b`, by `similarity_fn_name`.

        Parameters
        ----------
        a, b
            Arrays, tensors or lists, `(n, d)` and `(m, d)`, of any float dtype; `(d,)` is one embedding.

        Returns
        -------
        numpy.ndarray
            float32 `(n, m)`; higher is more similar.
        """
        return self._compare(_core.similarity, a, b)

    def similarity_pairwise(self, a: Any, b: Any) -> NDArray[np.float32]:
        """Compare each embedding in `a` with the one at its place in `b`: float32 `(n,)`."""
        return self._compare(_core.similarity_pairwise, a, b)

    def _compare(self, compare: Callable[..., NDArray[np.float32]], a: Any, b: Any) -> NDArray[np.float32]:
        _ = self._engine  # it isn't needed, but a closed model must say so
        return compare(self._similarity_fn_name, _arguments.matrix("a", a), _arguments.matrix("b", b))

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes: "cosine", "dot", "euclidean" or "manhattan"."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        _arguments.one_of("similarity_fn_name", name, _SIMILARITIES)
        self._similarity_fn_name = name

    @property
    def truncate_dim(self) -> int | None:
        """How many columns of an embedding are kept, where they are limited."""
        return self._truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, columns: int | None) -> None:
        self._truncate_dim = None if columns is None else _arguments.positive("truncate_dim", columns)

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Set `truncate_dim` within a `with` block."""
        before = self._truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self._truncate_dim = before

    @property
    def embedding_dimension(self) -> int:
        """Columns of an embedding, after truncation."""
        width = self._engine.embedding_dimension
        return width if self._truncate_dim is None else min(width, self._truncate_dim)

    def get_embedding_dimension(self) -> int:
        """Return `embedding_dimension`."""
        return self.embedding_dimension

    def get_sentence_embedding_dimension(self) -> int:
        """Return `embedding_dimension`; the older name."""
        return self.embedding_dimension
