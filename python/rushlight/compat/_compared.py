"""What models of sentence-transformers that embed have for comparing embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rushlight import _arguments
from rushlight._loaded import Core
from rushlight.compat._upstream import Upstream
from rushlight.compat.similarity_functions import SimilarityFunction, compared, paired

if TYPE_CHECKING:
    from collections.abc import Callable

    from rushlight._loaded import Role

_SIDES = "embeddings1", "embeddings2"


class Compared(Upstream[Core]):
    """A model whose embeddings are compared by a function that has a name."""

    # The names that there are, the kind's own default first.
    _similarities: ClassVar[tuple[str, ...]] = ("cosine", "dot", "euclidean", "manhattan")
    _similarity_fn_name: str

    if TYPE_CHECKING:
        encode: Callable[..., Any]

    @property
    def similarity_fn_name(self) -> str:
        """The name of what embeddings are compared by.

        It can be set to a `SimilarityFunction`, too, and to None, which is what models of the kind are compared by
        where their folders name nothing.
        """
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str | None) -> None:
        _arguments.one_of("similarity_fn_name", name, (*self._similarities, None))
        self._similarity_fn_name = self._similarities[0] if name is None else SimilarityFunction(name).value

    def _encode_as(self, role: Role, *, prompt_name: str | None, prompt: str | None, **options: Any) -> Any:
        """Embed queries, or documents, by `encode`, which a subclass may have for itself."""
        if prompt is None and prompt_name is None:
            prompt_name = self._prompt_name_of(role)
            prompt = "" if prompt_name is None else None
        return self.encode(prompt_name=prompt_name, prompt=prompt, task=role, **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compare every embedding with every one of the others, by `similarity_fn_name`: `(n, m)`."""
        _ = self._engine  # it isn't needed, but a closed model must say so
        return compared(self._similarity_fn_name, embeddings1, embeddings2, _SIDES)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compare each embedding with the one at its place: `(n,)`, or a single score of two single embeddings."""
        _ = self._engine
        return paired(self._similarity_fn_name, embeddings1, embeddings2, _SIDES)
