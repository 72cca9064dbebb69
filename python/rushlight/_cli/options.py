"""What several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rushlight import Model

if TYPE_CHECKING:
    from collections.abc import Callable


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], *, says: str, more: str = "", examples: str
) -> argparse.ArgumentParser:
    """Add a command: what it does in a line, what more there is to know of it, and examples, one a line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=says[0].lower() + says[1:].rstrip("."),
        description=f"{says}\n\n{more}".rstrip(),
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add where a model comes from."""
    group = parser.add_argument_group("where models come from")
    group.add_argument("--revision", help="branch, tag or commit of the model")
    group.add_argument("--cache-folder", metavar="FOLDER", type=Path, help="the Hugging Face cache, in place of yours")
    group.add_argument("--local-files-only", action="store_true", help="never use the network")


def source(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return where a model comes from, as models take it."""
    return {
        "revision": arguments.revision,
        "cache_folder": arguments.cache_folder,
        "local_files_only": arguments.local_files_only,
    }


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add a model and the device it is on; more is added by who needs it."""
    parser.add_argument("model", metavar="MODEL", help="a model's folder, or its name on the hub")
    parser.add_argument("--device", help="where to compute (default: the best there is)")
    add_source(parser)


def load(arguments: argparse.Namespace, **options: Any) -> Model:
    """Return the model of sentence embeddings that is asked for."""
    return Model(arguments.model, device=arguments.device, **source(arguments), **options)


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
