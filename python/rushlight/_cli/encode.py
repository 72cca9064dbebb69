"""The command `encode`, which turns texts into embeddings."""

from __future__ import annotations

import pickle
import tempfile
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import MultiVectorModel, SparseModel, util
from rushlight._cli import embedding, folders, hybrid, images, options, reading, writing
from rushlight._cli.reading import Record
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from rushlight import Model
    from rushlight._cli.reading import Records
    from rushlight._cli.writers import Values

    _Chunk = tuple[list[dict[str, Any]], NDArray[Any]]

_MORE = """\
Texts are embedded and written as they arrive, in constant memory. In txt each line is a text; jsonl, csv, tsv and
parquet have the text in a field; all but parquet may be compressed as .gz or .zst. npy output has a row per text, in
order; jsonl, csv and parquet output also has the fields of the input, and the field "embedding". After Ctrl-C or
SIGTERM, the output written so far is readable, and --resume continues it.
With a folder as OUT, each input becomes parquet files in it. The same command continues a run that was stopped or
killed, and embeds only what is missing. With --engine, the workers of Ray or Spark embed the files.
int8 and uint8 take their ranges from all texts, so float32 embeddings are kept in a temporary file until all texts
are embedded.\
"""
_EXAMPLES = """\
rushlight encode all-MiniLM-L6-v2 corpus.txt -o corpus.npy
rushlight encode all-MiniLM-L6-v2 corpus.jsonl --field body --normalize -o corpus.parquet
rushlight encode all-MiniLM-L6-v2 'in/*.jsonl.gz' -o out/
rushlight encode all-MiniLM-L6-v2 'in/*.parquet' -o out/ --engine ray --workers 16
rushlight encode naver/splade-v3 corpus.txt --kind sparse --document -o corpus.jsonl
cat corpus.txt | rushlight encode all-MiniLM-L6-v2 --precision ubinary | head -1
rushlight encode all-MiniLM-L6-v2 corpus.csv --field title --prompt "title: " -o titles.jsonl
rushlight encode BAAI/bge-m3 corpus.txt --kinds dense sparse -o corpus.jsonl
rushlight encode clip-ViT-B-32 --images photos -o photos.parquet"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "encode",
        _run,
        words="MODEL [INPUT ...] [-o OUT]",
        says="Turn texts into embeddings.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(command)
    command.add_argument(
        "input", metavar="INPUT", nargs="*", help="files of texts, or patterns such as 'in/*.txt' (default: -, stdin)"
    )
    command.add_argument(
        "--images", metavar="DIR", help='embed the images in a folder instead of texts; the field "image" is their path'
    )
    command.add_argument(
        "--kind",
        choices=("dense", "sparse", "multi-vector"),
        default="dense",
        help="kind of the model: a vector, token weights, or a vector per token (default: dense)",
    )
    command.add_argument(
        "--kinds",
        nargs="+",
        choices=hybrid.KINDS,
        metavar="KIND",
        help="kinds of embeddings from one pass, for models with heads for them such as bge-m3: dense, sparse, "
        "multi_vector; each is a field",
    )
    reading.add_options(command)
    writing.add_options(command, "jsonl")
    command.add_argument("--resume", action="store_true", help="continue OUT, which an earlier run left incomplete")
    command.add_argument(
        "--output-field", metavar="NAME", default="embedding", help='name of the embeddings (default: "embedding")'
    )
    command.add_argument("--normalize", action="store_true", help="divide each embedding by its L2 norm")
    command.add_argument(
        "--precision",
        choices=("float32", "int8", "uint8", "binary", "ubinary"),
        default="float32",
        help="precision of the output; binary and ubinary pack eight bits in a byte (default: float32)",
    )
    command.add_argument(
        "--chunk",
        metavar="N",
        type=options.positive,
        help='split texts into chunks of N tokens: a row each, with the fields "chunk", "start" and "end"',
    )
    command.add_argument(
        "--overlap", metavar="N", type=options.positive, default=0, help="number of tokens that chunks share"
    )
    embedding.add_prompts(command)
    embedding.add_chunk_size(command)
    embedding.add_options(command)
    folders.add_options(command)
    return command


def _run(arguments: argparse.Namespace) -> None:
    places = reading.expand(arguments.input or ["-"])
    _check(arguments)
    if folders.is_folder(arguments):
        folders.run(arguments, places)
        return
    if arguments.images is not None:
        places = []
    files = reading.Files(places, reading.options(arguments))
    writing.check(arguments, places)
    if arguments.kinds is not None:
        hybrid.write(arguments, files)
        return
    if arguments.kind != "dense":
        _others(arguments, files)
        return
    pictures = None if arguments.images is None else images.Folder(arguments.images)
    model = embedding.load(arguments)
    if pictures is not None:
        images.check(model, arguments.images)
    precision = arguments.precision
    like = model.encode([], precision=precision)
    done = writing.resumed(arguments, like)
    source = _Skipping(pictures or (_Chunks(model, files, arguments) if arguments.chunk else files), done.skipped)
    how = {"normalize_embeddings": arguments.normalize}
    if precision in {"int8", "uint8"}:
        chunks = _ranged(embedding.stream(model, source, arguments, **how), precision)
    else:
        chunks = embedding.stream(model, source, arguments, precision=precision, **how)
    writing.write(arguments, arguments.output_field, like, places, chunks, done=done)


def _check(arguments: argparse.Namespace) -> None:
    """Check that the options agree."""
    if arguments.kinds is not None:
        hybrid.check(arguments)
    if arguments.images is not None:
        _check_images(arguments)
    if arguments.overlap and not arguments.chunk:
        raise InvalidArgumentError("--overlap: is for --chunk")
    if arguments.resume and arguments.precision in {"int8", "uint8"}:
        raise InvalidArgumentError(f"--resume: {arguments.precision} takes its ranges from all texts at once")
    if arguments.kind == "dense":
        return
    for name in ("chunk", "normalize", "truncate_dim", "task"):
        if getattr(arguments, name):
            raise InvalidArgumentError(f"--{name.replace('_', '-')}: is for dense models, not {arguments.kind}")
    if arguments.precision != "float32":
        raise InvalidArgumentError(f"--precision {arguments.precision}: is for dense models, not {arguments.kind}")


def _check_images(arguments: argparse.Namespace) -> None:
    """Check that no option for texts comes with images."""
    if arguments.input:
        raise InvalidArgumentError("--images: takes the place of INPUT, so give one of them")
    if folders.is_folder(arguments):
        raise InvalidArgumentError("--images: writes one file; give -o a file")
    for name in ("format", "field", "delimiter", "chunk", "kinds"):
        if getattr(arguments, name):
            raise InvalidArgumentError(f"--{name}: is for texts, not for --images")
    if arguments.kind != "dense":
        raise InvalidArgumentError(f"--kind {arguments.kind}: is for texts, not for --images")


class _Skipping:
    """Texts without the first ones, which a resumed run has embedded."""

    def __init__(self, source: Records, skipped: int) -> None:
        self._source = source
        self._skipped = skipped

    def records(self) -> Iterator[Record]:
        """Yield the texts."""
        return islice(self._source.records(), self._skipped, None)

    def count(self) -> int | None:
        """Return the approximate number of texts, if it is known."""
        count = self._source.count()
        return None if count is None else max(count - self._skipped, 0)


class _Chunks:
    """Chunks of texts, each with the place of its text, its number, and its start and end in characters."""

    def __init__(self, model: Model, source: reading.Files, arguments: argparse.Namespace) -> None:
        self._model = model
        self._source = source
        self._field = arguments.field or "text"
        self._how = {"max_tokens": arguments.chunk, "overlap": arguments.overlap, **embedding.prompts(arguments)}

    def records(self) -> Iterator[Record]:
        """Yield the chunks."""
        for record in self._source.records():
            for number, (text, start, end) in enumerate(self._split(record)):
                fields = {**record.fields, self._field: text, "chunk": number, "start": start, "end": end}
                yield Record(text, fields, record.place)

    def count(self) -> None:
        """Return None: the number is not known."""

    def _split(self, record: Record) -> list[tuple[str, int, int]]:
        try:
            return self._model.chunk(record.text, **self._how)
        except InvalidArgumentError as error:
            argument, _, problem = str(error).partition(": ")
            label = {"max_tokens": "--chunk", "overlap": "--overlap", "text": record.place}.get(argument, argument)
            raise InvalidArgumentError(f"{label}: {problem}") from error


def _others(arguments: argparse.Namespace, files: reading.Files) -> None:
    """Embed with a sparse or a late-interaction model."""
    model = embedding.load_other(arguments)
    like: Values = model.encode_document([]) if isinstance(model, SparseModel) else []
    if isinstance(model, MultiVectorModel):
        like = [np.empty((0, model.embedding_dimension), np.float32)]
    done = writing.resumed(arguments, like)
    chunks = embedding.stream_other(model, _Skipping(files, done.skipped), arguments)
    writing.write(arguments, arguments.output_field, like, files.places, chunks, done=done)


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
