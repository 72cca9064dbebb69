"""Members that embedding models of all kinds have in sentence-transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rushlight import _arguments
from rushlight._loaded import Core
from rushlight.compat._upstream import Upstream
from rushlight.compat.util.similarity import SimilarityFunction, compared, paired

if TYPE_CHECKING:
    from collections.abc import Callable

    from rushlight._loaded import Role

_SIDES = "embeddings1", "embeddings2"


class Compared(Upstream[Core]):
    """Model whose embeddings are compared by a named function."""

    if TYPE_CHECKING:
        _similarities: ClassVar[tuple[str, ...]]
        _similarity_fn_name: str
        encode: Callable[..., Any]

    @property
    def similarity_fn_name(self) -> str:
        """Name of the function that `similarity` computes.

        Set it to a name or a `SimilarityFunction`; None sets the kind's default.
        """
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str | None) -> None:
        _arguments.one_of("similarity_fn_name", name, (*self._similarities, None))
        self._similarity_fn_name = self._similarities[0] if name is None else SimilarityFunction(name).value

    def _encode_as(self, role: Role, *, prompt_name: str | None, prompt: str | None, **options: Any) -> Any:
        """Embed queries or documents by `encode`, which a subclass may override."""
        if prompt is None and prompt_name is None:
            prompt_name = self._prompt_name_of(role)
            prompt = "" if prompt_name is None else None
        return self.encode(prompt_name=prompt_name, prompt=prompt, task=role, **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Score every embedding against every one of the others by `similarity_fn_name`: `(n, m)`."""
        _ = self._engine  # raises for a closed model
        return compared(self._similarity_fn_name, embeddings1, embeddings2, _SIDES)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Score each embedding against the one at the same position: `(n,)`, or one score for two single embeddings."""
        _ = self._engine
        return paired(self._similarity_fn_name, embeddings1, embeddings2, _SIDES)
