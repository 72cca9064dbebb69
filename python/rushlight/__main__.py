"""Where `rushlight` and `python -m rushlight` begin: what a command raises becomes an exit status and one line."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from rushlight._cli import parser, streams
from rushlight.exceptions import RushlightError

if TYPE_CHECKING:
    from collections.abc import Sequence

# As shells say it of a program that SIGINT, or SIGPIPE, ended.
_INTERRUPTED = 130
_NOBODY_READS = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments
        The words after `rushlight`; None is those of this process.

    Returns
    -------
    int
        0; 1 where something is wrong, which is said in one line on stderr; 130 after Ctrl-C; 141 where whoever read the
        output has gone, as `head` does.

    Raises
    ------
    SystemExit
        With status 2 where the words make no command, with 0 after `--help` and `--version`.
    """
    logging.basicConfig(format="rushlight: %(message)s")  # what the library warns of
    try:
        try:
            command = parser.parse(arguments)
            command.run(command)
        finally:
            streams.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _NOBODY_READS
    except (RushlightError, OSError) as error:
        sys.stderr.write(f"rushlight: error: {_said(error)}\n")
        return 1
    return 0


def _said(error: Exception) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error).replace(":\n  - ", ": ").replace("\n  - ", "; ").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
