"""Models of the classes for frameworks: loading, roles, settings and asynchronous calls, once for all."""

from __future__ import annotations

import inspect
import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import rushlight
from rushlight import Model, MultiVectorModel, Reranker, SparseModel
from rushlight._asynchronous import on_a_thread
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rushlight._loaded import Loaded, Role

Kind = TypeVar("Kind", bound="Loaded[Any]")

# Options of calls; all others are options of loading.
_CALLS: dict[type[Any], tuple[str, ...]] = {
    Model: ("normalize_embeddings", "truncate_dim", "truncation", "prompt", "prompt_name", "task"),
    SparseModel: ("max_active_dims", "truncation", "prompt", "prompt_name"),
    MultiVectorModel: ("truncation", "prompt", "prompt_name"),
    Reranker: ("truncation", "prompt", "prompt_name"),
}


class Handle(Generic[Kind]):
    """Model by name and options, or a loaded one.

    A model by name is loaded when it is first needed, once a process. Options that only change a call, such as
    `truncate_dim`, share the loaded model.

    Raises
    ------
    InvalidArgumentError
        An option is unknown, or comes with a loaded model whose loading it would change.
    """

    def __init__(self, kind: type[Kind], model: str | os.PathLike[str] | Kind, options: Mapping[str, Any]) -> None:
        calls = next(names for base, names in _CALLS.items() if issubclass(kind, base))
        loads = [name for name in inspect.signature(kind).parameters if name != "model_name_or_path"]
        known = dict.fromkeys([*loads, *calls])
        for name in options:
            if name not in known:
                raise InvalidArgumentError(f"{name}: unknown option; there are {', '.join(known)}")
        self._kind = kind
        self._given = model
        # None is the default of the model.
        given = {name: value for name, value in options.items() if value is not None}
        self.call_options = {name: value for name, value in given.items() if name in calls}
        self.load_options = {name: value for name, value in given.items() if name not in calls}
        if isinstance(model, kind) and self.load_options:
            named = ", ".join(self.load_options)
            raise InvalidArgumentError(f"{named}: options of loading, but `model` is loaded; pass its name")

    @property
    def model(self) -> Kind:
        """Model, loaded if it was not yet."""
        if isinstance(self._given, self._kind):
            return self._given
        # A model of another kind is named by `load`.
        return rushlight.load(self._given, self._kind, **self.load_options)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """Name or path of the model."""
        if isinstance(self._given, self._kind):
            return str(self._given._engine.folder)
        return os.fspath(self._given)  # type: ignore[arg-type]

    def settings(self) -> dict[str, Any]:
        """Return the options for a framework's file, without the token.

        Raises
        ------
        InvalidArgumentError
            The model was given loaded, so its options are unknown.
        """
        if isinstance(self._given, self._kind):
            raise InvalidArgumentError("model: a loaded model's settings can't be saved; pass its name and options")
        options = without_token(self.load_options | self.call_options)
        return {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in options.items()}

    # Calls

    def encode(self, texts: str | Iterable[str], role: Role | None, **options: Any) -> Any:
        """Embed texts in a role; late-interaction models embed documents without one."""
        model: Any = self.model
        role = "document" if role is None and isinstance(model, MultiVectorModel) else role
        method = "encode" if role is None else f"encode_{role}"
        return getattr(model, method)(texts, **self.call_options, **options)

    def lists(self, texts: str | Iterable[str], role: Role | None, **options: Any) -> Any:
        """Embed texts as lists of Python's floats; a single text as one list."""
        return self.encode(texts, role, **options).tolist()

    async def lists_async(self, texts: str | Iterable[str], role: Role | None, **options: Any) -> Any:
        """Call `lists` on another thread; cancelling stops it."""
        return await on_a_thread(self.lists, texts, role, **options)

    def ranked(self, query: str, texts: Iterable[str], top_k: int | None = None) -> list[tuple[int, float]]:
        """Return the index and the score of the best texts for a query, best first."""
        model: Any = self.model
        hits = model.rank(query, texts, top_k=top_k, **self.call_options)
        return [(hit["corpus_id"], hit["score"]) for hit in hits]

    async def ranked_async(self, query: str, texts: Iterable[str], top_k: int | None = None) -> list[tuple[int, float]]:
        """Call `ranked` on another thread; cancelling stops it."""
        ranked: list[tuple[int, float]] = await on_a_thread(self.ranked, query, texts, top_k)
        return ranked

    @property
    def dimension(self) -> int:
        """Number of columns of an embedding."""
        model: Any = self.model
        width: int = model._engine.embedding_dimension
        columns = self.call_options.get("truncate_dim", getattr(model, "truncate_dim", None))
        return width if columns is None else min(width, columns)

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without a token."""
        return {**self.__dict__, "load_options": without_token(self.load_options)}

    def __repr__(self) -> str:
        options = without_token(self.load_options | self.call_options).items()
        return ", ".join([f"model={self.name!r}", *(f"{name}={value!r}" for name, value in options)])


def without_token(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without an access token, for files and for messages."""
    return {name: value for name, value in options.items() if name != "token" or not isinstance(value, str)}


def sparse_rows(embeddings: Any) -> list[tuple[list[int], list[float]]]:
    """Return the columns and the values of each row of sparse embeddings, as Python's numbers."""
    ends, indices, values = embeddings.indptr.tolist(), embeddings.indices.tolist(), embeddings.values.tolist()
    return [(indices[start:end], values[start:end]) for start, end in pairwise(ends)]
