"""Names of objects, imports by name, and silence."""

from __future__ import annotations

import functools
import importlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rushlight.compat.util.similarity import SimilarityFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["disable_logging", "fullname", "import_from_string", "similarity_fct_name"]


def fullname(obj: Any) -> str:
    """Return the name of a class, or of an object's class, after that of its module; without it for built-in ones."""
    kind = obj if isinstance(obj, type) else type(obj)
    return kind.__name__ if kind.__module__ in (None, "builtins") else f"{kind.__module__}.{kind.__name__}"


def similarity_fct_name(similarity_fct: Callable[..., Any]) -> str:
    """Return a short name of a score function, with the arguments that are bound to it."""
    if isinstance(similarity_fct, functools.partial):
        bound = ", ".join(f"{name}={value!r}" for name, value in similarity_fct.keywords.items())
        name = _name(similarity_fct.func)
        return f"{name}({bound})" if bound else name
    model: Any = getattr(similarity_fct, "__self__", None)
    name = _name(similarity_fct)
    if hasattr(model, "similarity_fn_name") and name in ("similarity", "similarity_pairwise"):
        pairwise = name == "similarity_pairwise"
        find = SimilarityFunction.to_similarity_pairwise_fn if pairwise else SimilarityFunction.to_similarity_fn
        return _name(find(model.similarity_fn_name))
    if hasattr(similarity_fct, "get_config_dict"):
        settings = ", ".join(f"{key}={value!r}" for key, value in similarity_fct.get_config_dict().items())
        return f"{name}({settings})"
    return name


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def import_from_string(dotted_path: str) -> Any:
    """Return the attribute of a module that a path like "package.module.Name" names.

    Raises
    ------
    ImportError
        The path has no module, or the module has no such attribute.
    """
    module, _, name = dotted_path.rpartition(".")
    if not module:
        raise ImportError(f"{dotted_path!r}: must be the path of a module, a dot, and a name")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise ImportError(f"{module}: has no {name!r}") from None


@contextmanager
def disable_logging(highest_level: int = logging.CRITICAL) -> Iterator[None]:
    """Drop log records up to a level, within a `with` block."""
    before = logging.root.manager.disable
    logging.disable(highest_level)
    try:
        yield
    finally:
        logging.disable(before)
