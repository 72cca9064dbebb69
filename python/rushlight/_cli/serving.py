"""The command `serve`. Its flags are those of the server, which parses them itself."""

from __future__ import annotations

import argparse
import signal
import threading
from typing import Any

from rushlight import _core, _server
from rushlight._cli import options, streams


class _Words(options.Parser):
    """Parser that leaves all words to the server."""

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ARG002
        return argparse.Namespace(run=_serve, words=list(args or []))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    return _Words(
        prog="rushlight serve",
        description="Serve models over HTTP to clients of OpenAI, text-embeddings-inference, Cohere, Jina and vLLM.",
        epilog="",
    )


def _serve(arguments: argparse.Namespace) -> None:
    parsed = _core.ServeCommand.parse(arguments.words)
    if isinstance(parsed, tuple):
        text, status = parsed
        if status:
            streams.complain(text.rstrip())
        else:
            streams.say(text.rstrip())
        streams.flush()
        raise SystemExit(status)
    folders = _server.folders(parsed)
    if threading.current_thread() is threading.main_thread():
        # The server handles these, and answers running requests first.
        for ends in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ends, signal.SIG_DFL)
    parsed.run(folders)
