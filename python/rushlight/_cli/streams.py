"""The standard streams: bytes, and text in UTF-8 whatever the locale says."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import BinaryIO, TextIO

from rushlight.exceptions import InvalidInputError


def stdin() -> BinaryIO:
    """Return the standard input."""
    if sys.stdin is None:
        raise InvalidInputError("stdin: is closed")
    return sys.stdin.buffer


def stdout() -> BinaryIO:
    """Return the standard output."""
    if sys.stdout is None:
        raise InvalidInputError("stdout: is closed")
    return sys.stdout.buffer


def say(line: str) -> None:
    """Write a line to the standard output; what a path has of other bytes goes out as it is."""
    stdout().write(line.encode(errors="surrogateescape") + b"\n")


def flush() -> None:
    """Hand on what was written to the standard output."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        # What is left goes nowhere, so that Python does not try again, and complain, at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at a standard stream."""
    return stream is not None and stream.isatty()
