"""Serving models over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rushlight import _arguments, _core, _source
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self


class Server:
    """HTTP server that runs on its own threads, as `serve` returns it. A `with` statement stops it at the end.

    Attributes
    ----------
    url
        URL to put before routes, such as `http://127.0.0.1:49152`.
    """

    def __init__(self, core: _core.Server) -> None:
        self._core = core

    @property
    def url(self) -> str:
        """Return the URL to put before routes."""
        return self._core.url

    def stop(self) -> None:
        """Stop accepting connections, and wait until running requests have ended."""
        self._core.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Server({self.url!r})"


def serve(
    models: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    **options: Any,
) -> Server:
    """Serve models over HTTP on other threads, for tests and notebooks.

    The command `rushlight serve` is the same in the foreground.

    Parameters
    ----------
    models
        Name or folder of a model of any kind, or several, or a mapping from names in requests to models.
    host, port
        Address and port to listen on. Port 0 takes a free one.
    options
        Flags of `rushlight serve`, such as `max_concurrent_requests=64`, `api_key="secret"` or `dtype="int8"`.
        Environment variables have no effect.

    Returns
    -------
    Server
        The running server, with `url` and `stop()`.

    Raises
    ------
    InvalidArgumentError
        A flag is unknown or out of range.
    InferenceError
        The address is taken; its cause is an `OSError`.

    Examples
    --------
    >>> import rushlight
    >>> server = rushlight.serve("all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> server.url  # doctest: +SKIP
    'http://127.0.0.1:49152'
    >>> server.stop()  # doctest: +SKIP
    """
    words = [f"--host={host}", f"--port={port}"]
    for name, value in options.items():
        words += _flag(name, value)
    command = _core.ServeCommand([*words, "--", *_models(models)])
    return Server(command.start(folders(command)))


def folders(command: _core.ServeCommand) -> list[Path]:
    """Return the folders of a command's models, downloaded if necessary."""
    revision, cache_folder, local_files_only = command.source
    return [
        _source.find(
            model,
            "sentence-transformers",
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=None,
        )
        for model in command.models
    ]


def _models(models: Any) -> list[str]:
    if isinstance(models, Mapping):
        return [f"{name}={_arguments.path('models', model)}" for name, model in models.items()]
    if isinstance(models, (str, os.PathLike)):
        models = [models]
    found = [os.fspath(_arguments.path("models", model)) for model in models]
    if not found:
        raise InvalidArgumentError("models: must have at least one model")
    return found


def _flag(name: str, value: Any) -> list[str]:
    """Return the words of a flag."""
    flag = f"--{name.replace('_', '-')}"
    if value is None:
        return []
    if isinstance(value, bool) and name != "auto_truncate":
        return [flag] if value else []
    if isinstance(value, (list, tuple)):
        return [f"{flag}={item}" for item in value]
    return [f"{flag}={str(value).lower() if isinstance(value, bool) else value}"]
