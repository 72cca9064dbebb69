"""Outputs of commands: their options, and files that are written as results arrive."""

from __future__ import annotations

import os
import sys
from contextlib import closing, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from rushlight import _arguments
from rushlight._cli import resuming, streams
from rushlight._cli.writers import WRITERS
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from rushlight._cli.resuming import Rows
    from rushlight._cli.writers import Values

# Formats that need a seekable file, because a header or an index describes the rest.
_FILES = {"npy", "parquet"}
# Formats whose rows are numbers alone, as many in each.
_ARRAYS = {"npy", "tsv"}
_ENDINGS = {".ndjson": "jsonl"} | {f".{kind}": kind for kind in WRITERS}


def add_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the output file and its format, which is `kind` on stdout."""
    parser.set_defaults(stdout_format=kind, resume=False)
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write (default: stdout)")
    parser.add_argument(
        "--output-format",
        choices=tuple(WRITERS),
        help=f"output format (default: by OUT's extension, {kind} on stdout); tsv has only the numbers; "
        "npy and parquet need a file",
    )
    parser.add_argument("--force", action="store_true", help="overwrite OUT if it exists")


def path(arguments: argparse.Namespace) -> Path | None:
    """Return the output file; None for stdout."""
    return None if arguments.output is None else Path(arguments.output)


def resumed(arguments: argparse.Namespace, like: Values) -> Rows:
    """Return the rows that an interrupted run has written to the output, if there are and if this run resumes it.

    Raises
    ------
    InvalidArgumentError
        The output exists, and the run neither resumes nor overwrites it; or it can't be resumed.
    """
    place = path(arguments)
    if place is None or not place.is_file():
        return resuming.NONE
    if arguments.resume:
        return resuming.rows(place, _kind(arguments, place), like)
    if not arguments.force:
        resume = ", --resume continues it" if "input" in arguments else ""
        raise InvalidArgumentError(f"{place}: exists; --force overwrites it{resume}")
    return resuming.NONE


def _is_read(path: Path, name: str) -> bool:
    """Return True if a file is the input of that name, which may be stdin."""
    if name != "-":
        return path.samefile(name)
    try:
        return os.path.samestat(os.fstat(sys.stdin.fileno()), path.stat())
    except (AttributeError, OSError, ValueError):  # an object that stands for a file
        return False


def check(arguments: argparse.Namespace, inputs: list[str]) -> None:
    """Check that the output is no input; `inputs` are the files that are being read.

    Raises
    ------
    InvalidArgumentError
        The file is an input.
    """
    place = path(arguments)
    if place is not None and place.is_file() and any(_is_read(place, name) for name in inputs):
        raise InvalidArgumentError(f"{place}: is read as an input, so it can't be the output")


def write(
    arguments: argparse.Namespace,
    column: str,
    like: Values,
    inputs: list[str],
    chunks: Iterable[tuple[list[dict[str, Any]], Values]],
    *,
    done: Rows | None = None,
) -> None:
    """Write chunks, which are fields of texts with a number or a row for each, to the output of the arguments.

    An existing file is overwritten once the first chunk has arrived. `inputs` are the files that are being read, `done`
    the rows that are there already: the first row of `chunks` is the last of them. See `Writer` for the others.

    Raises
    ------
    InvalidArgumentError
        The file's extension is unknown, the file is an input or exists, or it is a pipe and the format needs a file.
    InvalidInputError
        Rows have no numbers, and the format has no such rows.
    """
    place = path(arguments)
    kind = _kind(arguments, place)
    if place is None and kind in _FILES:
        raise InvalidArgumentError(f"stdout: {kind} needs a file: -o OUT.{kind}")
    if kind in _ARRAYS and not isinstance(like, np.ndarray):
        raise InvalidArgumentError(f"{kind}: has rows of the same length only; write jsonl, csv or parquet")
    check(arguments, inputs)
    done = resumed(arguments, like) if done is None else done
    if kind == "parquet":
        _arguments.pyarrow()
        if isinstance(like, np.ndarray) and like.shape[1:] == (0,):
            raise InvalidInputError(f"{column}: parquet has no rows without numbers")
    iterator = iter(chunks)
    first = list(islice(iterator, 1))
    opened: AbstractContextManager[BinaryIO]
    opened = nullcontext(streams.stdout()) if place is None else _opened(place, done)
    with opened as file:
        if kind in _FILES and not file.seekable():
            raise InvalidArgumentError(f"{place}: {kind} needs a file: -o OUT.{kind}")
        with closing(WRITERS[kind](file, column, like, done.number, done.last)) as writer:
            for fields, values in chain(first, iterator):
                writer.write(fields, values)


def _opened(place: Path, done: Rows) -> AbstractContextManager[BinaryIO]:
    if not done.number:
        return place.open("wb")
    file = place.open("r+b")
    file.truncate(done.size)
    file.seek(0, 2)
    return file


def _kind(arguments: argparse.Namespace, path: Path | None) -> str:
    """Return the output format."""
    if arguments.output_format is not None:
        return str(arguments.output_format)
    kind = arguments.stdout_format if path is None else _ENDINGS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(WRITERS)
        raise InvalidArgumentError(f"{path}: unknown extension; give --output-format: {known}")
    return str(kind)
