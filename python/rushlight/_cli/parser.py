"""The words of the command line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from rushlight import __version__
from rushlight._cli import comparing, encode, mining, models, reranking, searching

_DESCRIPTION = "Sentence embeddings without the weight: embed texts, compare, search, rerank, mine and group them."
_EPILOG = """\
examples:
  rushlight encode all-MiniLM-L6-v2 corpus.txt -o corpus.npy
  rushlight search all-MiniLM-L6-v2 corpus.txt "a light in a room"

MODEL is a model's folder, or its name on the Hugging Face hub. `rushlight COMMAND --help` tells of a command.
exit status: 0; 1 for what is wrong, said in one line; 2 for words that make no command; 130 after Ctrl-C
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build() -> argparse.ArgumentParser:
    """Return the parser of all commands; what it gives has a `run`, which takes it."""
    parser = _Parser(
        prog="rushlight",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rushlight {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (encode, comparing, searching, reranking, mining, models):
        module.add(commands)
    return parser
