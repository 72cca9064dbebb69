"""Options that several commands share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rushlight._cli import streams

if TYPE_CHECKING:
    from collections.abc import Callable


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and a message on stderr, if it can be written."""
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
    """Return the parser of a command without its arguments.

    Parameters
    ----------
    name, words
        Name of the command, and its arguments in the usage line.
    run
        Function to call with the arguments.
    says, more
        Description in one line, and further description.
    examples
        Examples, one per line.
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
    """Add the options that select a model's source, and return their group."""
    group = parser.add_argument_group("model")
    group.add_argument("--revision", help="branch, tag or commit of the model")
    group.add_argument(
        "--cache-folder", metavar="FOLDER", type=Path, help="Hugging Face cache to use instead of the default one"
    )
    group.add_argument("--local-files-only", action="store_true", help="never use the network")
    group.add_argument(
        "--token", help="access token for private models (default: HF_TOKEN, which other users can't see)"
    )
    return group


def source(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the source of a model as keyword arguments of a model."""
    return {
        "revision": arguments.revision,
        "cache_folder": arguments.cache_folder,
        "local_files_only": arguments.local_files_only,
        "token": arguments.token,
    }


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add a model, its source, its device and its dtype."""
    parser.add_argument("model", metavar="MODEL", help="folder of a model, or its name on the hub")
    group = add_source(parser)
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps or metal (default: the best device)")
    group.add_argument("--dtype", help="float32, bfloat16, int8 (on a CPU) or float16 (on a GPU) (default: float32)")
    group.add_argument("--tokenizer-as-filed", action="store_true", help="take the steps of tokenizer.json as they are")
    group.add_argument(
        "--num-threads", metavar="N", type=positive, help="maximum number of threads (default: RUSHLIGHT_NUM_THREADS)"
    )


def add_prompt(parser: argparse.ArgumentParser, says: str) -> None:
    """Add the options for a prompt, of which `says` is the description."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--prompt", metavar="TEXT", help=says)
    group.add_argument("--prompt-name", metavar="NAME", help="name of one of the model's prompts")


def computing(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `add_model` beside the source as keyword arguments of a model."""
    return {
        "device": arguments.device,
        "dtype": arguments.dtype,
        "tokenizer_as_filed": arguments.tokenizer_as_filed,
    }


def positive(value: str) -> int:
    """Parse an integer of at least 1.

    Raises
    ------
    ArgumentTypeError
        The value is not one.
    """
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {value!r}")
    return int(value)


def number(value: str) -> float:
    """Parse a finite number.

    Raises
    ------
    ArgumentTypeError
        The value is not a finite number.
    """
    try:
        parsed = float(value)
    except ValueError:
        parsed = math.nan
    if not math.isfinite(parsed):
        raise argparse.ArgumentTypeError(f"must be a number, got {value!r}")
    return parsed
