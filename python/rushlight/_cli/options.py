"""What several commands take."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rushlight._cli import streams

if TYPE_CHECKING:
    from collections.abc import Callable


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and a message, whether or not that can be written."""
        streams.complain(f"{self.prog}: error: {message} (see {self.prog} --help)")
        self.exit(2)


def command(
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    words: str,
    says: str,
    more: str = "",
    examples: str,
) -> argparse.ArgumentParser:
    """Return the parser of a command, whose arguments are still to be added.

    Parameters
    ----------
    name, words
        What is typed.
    run
        What is called with the arguments.
    says, more
        What the command does, in a line, and what more there is to know of it.
    examples
        One a line.
    """
    parser = Parser(
        prog=f"rushlight {name}",
        usage=f"rushlight {name} {words} [options]",
        description=f"{says}\n\n{more}".rstrip(),
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_source(parser: argparse.ArgumentParser) -> Any:
    """Add where a model comes from, and return the group of those options."""
    group = parser.add_argument_group("the model")
    group.add_argument("--revision", help="branch, tag or commit of the model")
    group.add_argument("--cache-folder", metavar="FOLDER", type=Path, help="the Hugging Face cache, in place of yours")
    group.add_argument("--local-files-only", action="store_true", help="never use the network")
    return group


def source(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return where a model comes from, as models take it."""
    return {
        "revision": arguments.revision,
        "cache_folder": arguments.cache_folder,
        "local_files_only": arguments.local_files_only,
    }


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add a model, where it comes from and where it computes."""
    parser.add_argument("model", metavar="MODEL", help="a model's folder, or its name on the hub")
    group = add_source(parser)
    group.add_argument("--device", help="where to compute (default: the best there is)")
    group.add_argument("--dtype", help="what to compute in (default: float32)")


def positive(value: str) -> int:
    """Return a whole number of at least 1.

    Raises
    ------
    ArgumentTypeError
        Where it is none.
    """
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {value!r}")
    return int(value)


def number(value: str) -> float:
    """Return a number.

    Raises
    ------
    ArgumentTypeError
        Where it is none, or not finite.
    """
    try:
        parsed = float(value)
    except ValueError:
        parsed = math.nan
    if not math.isfinite(parsed):
        raise argparse.ArgumentTypeError(f"must be a number, got {value!r}")
    return parsed
