"""Entry point of `rushlight` and `python -m rushlight`: turns errors into an exit status and a message of one line."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from rushlight._cli import parser, streams
from rushlight.exceptions import RushlightError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Statuses that shells report for a program that SIGINT, SIGPIPE or SIGTERM ended.
_INTERRUPTED = 130
_NOBODY_READS = 141
_TERMINATED = 143


class _Terminated(BaseException):
    """Raised by SIGTERM, so that files are closed on the way out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments
        Words after `rushlight`; None takes those of this process.

    Returns
    -------
    int
        0 on success; 1 after an error, with a message of one line on stderr; 130 after Ctrl-C; 141 if the reader of the
        output has gone, as with `head`; 143 after SIGTERM.

    Raises
    ------
    SystemExit
        With status 2 for a usage error, with 0 after `--help` and `--version`.
    """
    logging.basicConfig(format="rushlight: %(message)s")  # warnings of the library
    try:
        with _terminable():
            try:
                command = parser.parse(arguments)
                command.run(command)
            finally:
                streams.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except _Terminated:
        return _TERMINATED
    except BrokenPipeError:
        return _NOBODY_READS
    except (RushlightError, OSError) as error:
        streams.complain(f"rushlight: error: {_said(error)}")
        return 1
    return 0


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise an exception, in the main thread and if nobody else handles it."""
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise _Terminated


def _said(error: Exception) -> str:
    """Return the message of an error in one line."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error).replace(":\n  - ", ": ").replace("\n  - ", "; ").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
