"""The command `encode`, which turns texts into embeddings."""

from __future__ import annotations

import pickle
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import util
from rushlight._cli import embedding, options, reading, writing
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    _Chunk = tuple[list[dict[str, Any]], NDArray[Any]]

_MORE = """\
Texts are embedded and written as they arrive, in constant memory. In txt each line is a text; jsonl, csv, tsv and
parquet have the text in a field. npy output has a row per text, in order; jsonl and parquet output also has the
fields of the input, and the field "embedding". After Ctrl-C or SIGTERM, the output written so far is readable.
int8 and uint8 take their ranges from all texts, so float32 embeddings are kept in a temporary file until all texts
are embedded.\
"""
_EXAMPLES = """\
rushlight encode all-MiniLM-L6-v2 corpus.txt -o corpus.npy
rushlight encode all-MiniLM-L6-v2 corpus.jsonl --field body --normalize -o corpus.parquet
cat corpus.txt | rushlight encode all-MiniLM-L6-v2 --precision ubinary | head -1
rushlight encode all-MiniLM-L6-v2 corpus.csv --field title --prompt "title: " -o titles.jsonl"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "encode",
        _run,
        words="MODEL [INPUT] [-o OUT]",
        says="Turn texts into embeddings.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(command)
    command.add_argument("input", metavar="INPUT", nargs="?", default="-", help="file of texts (default: -, stdin)")
    reading.add_options(command)
    writing.add_options(command, "jsonl")
    command.add_argument("--normalize", action="store_true", help="divide each embedding by its L2 norm")
    command.add_argument(
        "--precision",
        choices=("float32", "int8", "uint8", "binary", "ubinary"),
        default="float32",
        help="precision of the output; binary and ubinary pack eight bits in a byte (default: float32)",
    )
    embedding.add_prompts(command)
    embedding.add_chunk_size(command)
    embedding.add_options(command)
    return command


def _run(arguments: argparse.Namespace) -> None:
    with reading.source(arguments.input, arguments.format, arguments.field) as source:
        model = embedding.load(arguments)
        precision, normalize = arguments.precision, arguments.normalize
        if precision in {"int8", "uint8"}:
            chunks = _ranged(embedding.stream(model, source, arguments, normalize_embeddings=normalize), precision)
        else:
            chunks = embedding.stream(model, source, arguments, precision=precision, normalize_embeddings=normalize)
        like = model.encode([], precision=precision)
        writing.write(arguments, "embedding", like, [arguments.input], chunks)


def _ranged(chunks: Iterable[_Chunk], precision: str) -> Iterator[_Chunk]:
    """Yield quantized chunks; float32 chunks are kept in a temporary file until the ranges of all are known."""
    ranges = np.array([[np.inf], [-np.inf]], np.float32)
    count = rows = 0
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            count, rows = count + 1, rows + len(chunk[1])
            low, high = chunk[1].min(axis=0), chunk[1].max(axis=0)
            ranges = np.stack([np.minimum(ranges[0], low), np.maximum(ranges[1], high)])
            pickle.dump(chunk, file)
        if rows == 1:
            raise InvalidArgumentError(f"--precision {precision}: needs several texts, to take their ranges from")
        file.seek(0)
        for _ in range(count):
            fields, embeddings = pickle.load(file)
            yield fields, util.quantize_embeddings(embeddings, precision, ranges)
