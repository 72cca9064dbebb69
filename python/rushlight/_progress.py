"""Progress bars, which never end the call whose progress they show."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


def bar(*, shown: bool = True, **options: Any) -> tqdm[Any]:
    """Return a progress bar on stderr, which is left out where stderr can't be written.

    `options` are those of `tqdm`.
    """
    # Imported where it is needed: most calls show no bar.
    from tqdm.auto import tqdm

    return tqdm(**options, file=_Stderr(sys.stderr), disable=not (shown and _can_write()))


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a standard stream is a terminal; one that is None or closed is not."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # what stands for a stream and isn't one; a closed one
        return False


def _can_write() -> bool:
    """Return whether stderr is there, and both streams can be flushed, as `tqdm` does first."""
    if sys.stderr is None:
        return False
    try:
        for stream in (sys.stdout, sys.stderr):
            getattr(stream, "flush", lambda: None)()
    except Exception:  # noqa: BLE001 -- programs put objects of their own there
        return False
    return True


class _Stderr:
    """A stream that leaves out what it can't write, such as to a pipe that nobody reads any more.

    An error would leave `tqdm`'s lock held, on which the next bar of another thread waits for ever.
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
        """Return what the stream has, such as its encoding and its number."""
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """Return whether it is that stream: `tqdm` clears a bar before others write into the same."""
        return self._stream is getattr(other, "_stream", other)

    def __hash__(self) -> int:
        return hash(self._stream)
