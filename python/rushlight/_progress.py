"""Progress bars whose errors never reach the call that shows them."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


def bar(*, shown: bool = True, **options: Any) -> tqdm[Any]:
    """Return a progress bar on stderr, disabled if stderr cannot be written; `options` are those of `tqdm`."""
    # Imported late, because most calls show no bar.
    from tqdm.auto import tqdm

    return tqdm(**options, file=_Stderr(sys.stderr), disable=not (shown and _can_write()))


def is_terminal(stream: TextIO | None) -> bool:
    """Return True if a standard stream is a terminal; None and closed streams are not."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # an object that stands for a stream; a closed stream
        return False


def _can_write() -> bool:
    """Return True if stderr exists and both streams can be flushed, which `tqdm` does first."""
    if sys.stderr is None:
        return False
    try:
        for stream in (sys.stdout, sys.stderr):
            getattr(stream, "flush", lambda: None)()
    except Exception:  # noqa: BLE001 -- programs put objects of their own there
        return False
    return True


class _Stderr:
    """Stream that ignores errors of writing, such as those of a pipe without a reader.

    An error would leave `tqdm`'s lock held, and block the next bar of another thread forever.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a text."""
        with suppress(Exception):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        with suppress(Exception):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream, such as its encoding."""
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """Return True for the same stream: `tqdm` clears a bar before others write to its stream."""
        return self._stream is getattr(other, "_stream", other)

    def __hash__(self) -> int:
        return hash(self._stream)
