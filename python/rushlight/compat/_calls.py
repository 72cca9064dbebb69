"""Older names of arguments, arguments by position, and signatures that methods share."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, TypeVar, cast

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
