"""Older names of arguments, arguments by position, and signatures that methods share."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rushlight import _arguments
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("rushlight")


def renamed(*positions: str, **names: str | None) -> Callable[[F], F]:
    """Let a method take arguments by older names or by position, and log a warning.

    Parameters
    ----------
    *positions
        Keyword arguments that may follow the first argument by position.
    **names
        Older names of arguments with the current ones; None for an argument that has no effect any more.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            if positions:
                for name, value in zip(positions, args[1:], strict=False):
                    logger.warning("%s is now given by name", name)
                    if name in kwargs:
                        raise TypeError(f"{function.__name__}() got multiple values for argument {name!r}")
                    kwargs[name] = value
                args = (*args[:1], *args[1 + len(positions) :])
            for old, new in names.items():
                if old not in kwargs:
                    continue
                value = kwargs.pop(old)
                if new is None:
                    logger.warning("%s has no effect any more", old)
                    continue
                logger.warning("%s is now called %s", old, new)
                if new in kwargs:
                    raise InvalidArgumentError(f"{old}: it is now called {new}, which is given, too")
                kwargs[new] = value
            return function(self, *args, **kwargs)

        return cast("F", wrapper)

    return decorate


# Keywords of a text for transformers' tokenizers that change no embedding, with their allowed values.
_OF_TEXTS: dict[str, tuple[Any, ...]] = {
    "padding": (True, "longest", "max_length"),
    "truncation": (True, "longest_first"),
}


def processing(method: F) -> F:
    """Let a method take `processing_kwargs`, whose `max_length` of texts is their limit in this call."""

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, processing_kwargs: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        limit = _limit_of(processing_kwargs or {})
        return method(self if limit is None else self._limited(limit), *args, **kwargs)

    return cast("F", wrapper)


def _limit_of(processing_kwargs: Mapping[str, Any]) -> int | None:
    """Return the number of tokens to keep of a text, or None for the model's own.

    Raises
    ------
    InvalidArgumentError
        A keyword would change an embedding in another way.
    """
    given = {kind: dict(options) for kind, options in processing_kwargs.items() if options}
    texts = given.pop("text", {})
    limit = _arguments.optional_positive("max_length", texts.pop("max_length", None))
    for name, value in texts.items():
        if value not in _OF_TEXTS.get(name, ()):
            given["text"] = {name: value}
    if given:
        raise InvalidArgumentError(
            "processing_kwargs: rushlight tokenizes as the model's folder says; known are max_length, padding and "
            f"truncation of 'text', got {given}"
        )
    return limit


def check_names(model: object, method: Any, options: Mapping[str, Any]) -> None:
    """Check that a method of rushlight's own model has all of these options; `model` is named in the message.

    Raises
    ------
    TypeError
        The method has no such option.
    """
    for name in options:
        if name not in method.__kwdefaults__:
            raise TypeError(f"{type(model).__name__}.{method.__name__}() got an unexpected keyword argument {name!r}")


def called_like(function: F, *, but: str | None = None) -> Callable[[Callable[..., Any]], F]:
    """Let a method take the arguments of `function`, except `but`; it receives all by name, defaults included."""
    signature = inspect.signature(function)
    signature = signature.replace(parameters=[p for p in signature.parameters.values() if p.name != but])

    def decorate(method: Callable[..., Any]) -> F:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            given.pop("self")
            return method(self, **given.pop("kwargs", {}), **given)

        wrapper.__signature__ = signature  # type: ignore[attr-defined]  # the signature for inspect and IDEs
        return cast("F", wrapper)

    return decorate


def extending(base: Callable[..., Any]) -> Callable[[F], F]:
    """Let a method take the arguments of `base`, too, which it passes on as its keyword arguments."""

    def decorate(method: F) -> F:
        added = list(inspect.signature(method).parameters.values())[2:-1]
        parameters = list(inspect.signature(base).parameters.values())[:-1]
        signature = inspect.signature(base).replace(parameters=[*parameters, *added])

        @functools.wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            signature.bind(*args, **kwargs)
            return method(*args, **kwargs)

        wrapper.__signature__ = signature  # type: ignore[attr-defined]  # the signature for inspect and IDEs
        return cast("F", wrapper)

    return decorate
