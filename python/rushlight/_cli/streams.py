"""Standard streams of bytes, and of text in UTF-8 whatever the locale."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from rushlight.exceptions import InvalidInputError

if TYPE_CHECKING:
    from typing_extensions import Buffer


def stdin() -> BinaryIO:
    """Return stdin as bytes."""
    stream = _open(sys.stdin, "stdin")
    if hasattr(stream, "buffer"):
        return stream.buffer
    return io.BytesIO(stream.read().encode(errors="surrogateescape"))


def stdout() -> BinaryIO:
    """Return stdout as bytes."""
    stream = _open(sys.stdout, "stdout")
    return stream.buffer if hasattr(stream, "buffer") else cast("BinaryIO", _Decoded(stream))


def say(line: str) -> None:
    """Write a line to stdout; bytes of a path that are not UTF-8 are written unchanged."""
    stdout().write(line.encode(errors="surrogateescape") + b"\n")


def complain(line: str) -> None:
    """Write a line to stderr, if there is one."""
    with suppress(AttributeError, OSError, ValueError):  # None, closed, or without a reader
        sys.stderr.write(f"{line}\n")
    _flush_stderr()


def flush() -> None:
    """Flush stdout and stderr, and ignore errors of stderr."""
    _flush_stderr()
    _flush(sys.stdout)


def _flush_stderr() -> None:
    with suppress(OSError):
        _flush(sys.stderr)


def _flush(stream: TextIO | None) -> None:
    if stream is None or getattr(stream, "closed", False):
        return
    try:
        stream.flush()
    except OSError:
        # Discard the rest, so that Python does not try again and complain at exit.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


def _open(stream: TextIO | None, name: str) -> TextIO:
    if stream is None or getattr(stream, "closed", False):
        raise InvalidInputError(f"{name}: is closed")
    return stream


class _Decoded(io.RawIOBase):
    """Writer of bytes to a text-only stream, such as a notebook's or an `io.StringIO`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: Buffer) -> int:
        """Write bytes that are whole lines."""
        written = bytes(data)
        self._stream.write(written.decode(errors="surrogateescape"))
        return len(written)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()
