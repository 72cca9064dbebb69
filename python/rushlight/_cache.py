"""Models that the whole process shares."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rushlight import _arguments
from rushlight._model import Model
from rushlight._multi_vector import MultiVectorModel
from rushlight._reranker import Reranker
from rushlight._sparse import SparseModel
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from rushlight._loaded import Loaded

Kind = TypeVar("Kind", bound="Loaded[Any]")

_KINDS: tuple[type[Any], ...] = (Model, SparseModel, MultiVectorModel, Reranker)


class _Entry:
    """Model of one name, kind and set of options, with a lock for loading it once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.model: Loaded[Any] | None = None


_entries: dict[Hashable, _Entry] = {}


@overload
def load(model_name_or_path: str | os.PathLike[str], **options: Any) -> Model: ...
@overload
def load(model_name_or_path: str | os.PathLike[str], kind: type[Kind], **options: Any) -> Kind: ...
def load(model_name_or_path: str | os.PathLike[str], kind: Any = Model, **options: Any) -> Any:
    """Return the process's model of this name, kind and options; it is loaded by the first call.

    Functions that an engine calls again and again (tasks of Spark, expressions of Polars, functions of DuckDB) load
    their model once this way, from any number of threads. All callers share the model and its settings, so pass
    settings as options, and don't change them. `close` of the model frees it; the next call loads it again.

    Parameters
    ----------
    model_name_or_path
        Folder or name of a model.
    kind
        Class of the model: `Model`, `SparseModel`, `MultiVectorModel` or `Reranker`.
    **options
        Arguments of the class.

    Raises
    ------
    InvalidArgumentError
        `kind` is no class of models. Other errors are those of the class.

    Examples
    --------
    >>> import rushlight
    >>> model = rushlight.load("all-MiniLM-L6-v2")
    >>> rushlight.load("all-MiniLM-L6-v2") is model
    True
    """
    _check(kind)
    name = str(_arguments.path("model_name_or_path", model_name_or_path))
    entry = _entries.setdefault((kind, name, _frozen(options)), _Entry())
    with entry.lock:
        if entry.model is None or entry.model._core is None:  # never loaded, or closed
            entry.model = kind(model_name_or_path, **options)
        return entry.model


def _check(kind: Any) -> None:
    if not isinstance(kind, type) or not issubclass(kind, _KINDS):
        known = ", ".join(known.__name__ for known in _KINDS)
        raise InvalidArgumentError(f"kind: must be a class of models ({known}), got {kind!r}")


def _frozen(value: Any) -> Hashable:
    """Return an option as a key; equal options of other types, such as 1 and True, have other keys."""
    if isinstance(value, Mapping):
        return tuple(sorted((name, _frozen(item)) for name, item in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    return type(value), os.fspath(value) if isinstance(value, os.PathLike) else value


def _forget_locks() -> None:
    """Replace locks that a thread of the parent process may have held while it was forked."""
    for entry in _entries.values():
        entry.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
