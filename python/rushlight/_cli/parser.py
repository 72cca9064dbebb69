"""Parser of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rushlight import __version__
from rushlight._cli import comparing, encode, evaluating, mining, models, options, reranking, searching, serving

if TYPE_CHECKING:
    from collections.abc import Sequence

# Functions that return the parser of each command.
COMMANDS = {
    "encode": encode.parser,
    "similarity": comparing.parser,
    "search": searching.parser,
    "rerank": reranking.parser,
    "mine": mining.mine,
    "cluster": mining.cluster,
    "evaluate": evaluating.parser,
    "serve": serving.parser,
    "info": models.info,
    "download": models.download,
}
_DESCRIPTION = "Sentence-transformers models without PyTorch: embed, compare, search, rerank, mine and cluster texts."
_EPILOG = """\
examples:
  rushlight encode all-MiniLM-L6-v2 corpus.txt -o corpus.npy
  rushlight search all-MiniLM-L6-v2 corpus.txt "a light in a room"

MODEL is the folder of a model, or its name on the Hugging Face hub. `rushlight COMMAND --help` describes a command.
exit status: 0: success; 1: error, with a message of one line; 2: usage error; 130: stopped by Ctrl-C; 143: stopped by
SIGTERM
"""


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of a command; their `run` is the function to call with them."""
    typed = _all().parse_args(words)
    # Options may stand between positional arguments, which argparse's subparsers do not allow everywhere.
    return COMMANDS[typed.command]().parse_intermixed_args(typed.words)


def _all() -> argparse.ArgumentParser:
    """Return the parser of the arguments before a command."""
    parser = options.Parser(
        prog="rushlight",
        usage="rushlight COMMAND ...",
        description=f"{_DESCRIPTION}\n\ncommands:\n{_list()}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rushlight {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=tuple(COMMANDS), help=argparse.SUPPRESS)
    parser.add_argument("words", metavar="...", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _list() -> str:
    """Return the commands with a line of description each."""
    described = {name: parser().description or "" for name, parser in COMMANDS.items()}
    return "\n".join(f"  {name:<12}{text.splitlines()[0]}" for name, text in described.items())
