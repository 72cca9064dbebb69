"""The command `similarity`, which scores texts against texts."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight._cli import embedding, options, reading, writing
from rushlight._cli.reading import Source
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rushlight import Model

_MORE = """\
Two texts give one score. With --files, A and B are files of texts: each text in A gives a row of scores, one for every
text in B. With --pairwise it gives one score, for the text on the same line of B. A is streamed, and scores are written
as they are computed; B is held in memory unless --pairwise is given.\
"""
_EXAMPLES = """\
rushlight similarity all-MiniLM-L6-v2 "A small lamp." "A little lantern."
rushlight similarity all-MiniLM-L6-v2 --files a.txt b.txt -o scores.npy
rushlight similarity all-MiniLM-L6-v2 --files --pairwise a.txt b.txt"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "similarity",
        _run,
        words="MODEL A B [--files]",
        says="Score the similarity of texts.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(command)
    command.add_argument("a", metavar="A", help="text; with --files, a file of texts or - for stdin")
    command.add_argument("b", metavar="B", help="text to compare with A; with --files, a file or -")
    command.add_argument("--files", action="store_true", help="read A and B as files of texts")
    command.add_argument("--pairwise", action="store_true", help="score each text against the one on the same line")
    embedding.add_similarity(command)
    reading.add_options(command)
    writing.add_options(command, "tsv")
    embedding.add_prompts(command)
    embedding.add_chunk_size(command)
    embedding.add_options(command)
    return command


def _run(arguments: argparse.Namespace) -> None:
    files = [arguments.a, arguments.b] if arguments.files else []
    if files == ["-", "-"]:
        raise InvalidArgumentError("stdin: A and B can't both be -")
    if not files and (arguments.format or arguments.field):
        raise InvalidArgumentError("--format and --field: are for files; add --files to read A and B as files")
    form = reading.options(arguments)
    form["keep_blank"] |= arguments.pairwise  # whose texts stand on the same lines
    with ExitStack() as opened:
        if files:
            a, b = (opened.enter_context(reading.source(at, **form)) for at in files)
        else:
            a, b = _text("A", arguments.a), _text("B", arguments.b)
        compare = _by_pairs if arguments.pairwise else _all_with_all
        compare(embedding.load(arguments), a, b, arguments, files)


def _text(name: str, text: str) -> Source:
    """Return a text as a file with one text."""
    return Source(io.BytesIO(json.dumps(text).encode()), name, "jsonl", "text")


def _all_with_all(model: Model, a: Source, b: Source, arguments: argparse.Namespace, files: list[str]) -> None:
    chunks = embedding.stream(model, a, arguments)
    others = embedding.embed(model, b, arguments, **embedding.prompts(arguments))
    like = np.empty((0, len(others)), np.float32)
    scores = ((fields, model.similarity(embeddings, others)) for fields, embeddings in chunks)
    writing.write(arguments, "scores", like, files, scores)


def _by_pairs(model: Model, a: Source, b: Source, arguments: argparse.Namespace, files: list[str]) -> None:
    streams = embedding.stream(model, a, arguments), embedding.stream(model, b, arguments, bar=False)

    def scores() -> Iterator[tuple[list[dict[str, Any]], NDArray[Any]]]:
        for (fields, embeddings), (others, more) in zip_longest(*streams, fillvalue=([], None)):
            if len(fields) != len(others):
                raise InvalidInputError(f"{a.name} and {b.name}: must have the same number of texts for --pairwise")
            yield fields, model.similarity_pairwise(embeddings, more)

    writing.write(arguments, "score", np.empty(0, np.float32), files, scores())
