"""Readers of texts from files and stdin, which stream them: inputs may be endless, or larger than memory."""

from __future__ import annotations

import csv
import glob
import gzip
import importlib
import io
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

from rushlight import _arguments
from rushlight._cli import streams
from rushlight.exceptions import InvalidArgumentError, InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

KINDS = ("txt", "jsonl", "csv", "tsv", "parquet")
_ENDINGS = {"": "txt", ".ndjson": "jsonl"} | {f".{kind}": kind for kind in KINDS}
_COMPRESSED = (".gz", ".zst")


class Record(NamedTuple):
    """A text or an image's file, all fields of its row, including the text, and its file and line."""

    text: Any
    fields: dict[str, Any]
    place: str


@dataclass(frozen=True)
class Source:
    """Open file of texts."""

    file: BinaryIO
    name: str
    kind: str
    field: str
    # Separator of a csv's fields.
    delimiter: str = ","
    # True if a blank line of a txt is an empty text.
    keep_blank: bool = False

    def records(self) -> Iterator[Record]:
        """Yield the texts.

        Raises
        ------
        InvalidInputError
            The file has another format, or no text in the field; the message names the line or row.
        """
        for place, fields in self.rows():
            if self.field not in fields:
                there = ", ".join(map(repr, fields)) or "none"
                raise InvalidInputError(
                    f"{place}: no field {self.field!r}; there are {there} (select one with --field)"
                )
            text = _arguments.text(f"{place}: field {self.field!r}", fields[self.field], InvalidInputError)
            yield Record(text, fields, place)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the fields of all rows, with the file and the line of each.

        Raises
        ------
        InvalidInputError
            The file has another format; the message names the line or row.
        """
        return _READERS[self.kind](self)

    def texts(self) -> list[str]:
        """Return all texts."""
        return [record.text for record in self.records()]

    def count(self) -> int | None:
        """Return the approximate number of texts; None for a pipe and a compressed file."""
        if not self.file.seekable() or self.name.endswith(_COMPRESSED):
            return None
        if self.kind == "parquet":
            return int(_parquet_file(self).metadata.num_rows)
        start = self.file.tell()
        lines = sum(block.count(b"\n") for block in iter(partial(self.file.read, 1 << 20), b""))
        self.file.seek(start)
        return lines


class Records(Protocol):
    """Texts of one file or of several."""

    def records(self) -> Iterator[Record]:
        """Yield the texts."""
        ...

    def count(self) -> int | None:
        """Return the approximate number of texts, if it is known."""
        ...


class Files:
    """Texts of several files, one file after the other; each is opened when it is its turn.

    Raises
    ------
    OSError
        A file can't be opened.
    InvalidArgumentError
        An extension is unknown, or an option is for another format.
    """

    def __init__(self, places: list[str], form: dict[str, Any]) -> None:
        self.places = places
        self._form = form
        for place in places:
            _form(place, **form)
            if place != "-":
                os.stat(place)  # noqa: PTH116 -- raises for a file that is not there

    def records(self) -> Iterator[Record]:
        """Yield the texts of all files."""
        for place in self.places:
            with source(place, **self._form) as opened:
                yield from opened.records()

    def count(self) -> int | None:
        """Return the approximate number of texts; None if that of a file is unknown."""
        total = 0
        for place in self.places:
            with source(place, **self._form) as opened:
                count = opened.count()
            if count is None:
                return None
            total += count
        return total


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the input format."""
    parser.add_argument(
        "--format",
        choices=KINDS,
        help="input format (default: by the file's extension, txt for stdin); csv fields may be quoted, "
        "tsv fields never are",
    )
    parser.add_argument("--field", help='field of the text in jsonl, csv, tsv and parquet (default: "text")')
    parser.add_argument("--delimiter", metavar="C", help='separator of the fields of a csv (default: ",")')
    parser.add_argument(
        "--keep-blank", action="store_true", help="read a blank line of a txt as an empty text (default: skip it)"
    )


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options for the input format as keyword arguments of `source`."""
    return {
        "kind": arguments.format,
        "field": arguments.field,
        "delimiter": arguments.delimiter,
        "keep_blank": arguments.keep_blank,
    }


def expand(places: list[str]) -> list[str]:
    """Return the files that names and patterns stand for, those of a pattern in order; "-" is stdin.

    Raises
    ------
    InvalidArgumentError
        No file matches a pattern.
    """
    found: list[str] = []
    for place in places:
        if place == "-" or Path(place).exists() or not glob.has_magic(place):
            found.append(place)
            continue
        matches = sorted(glob.glob(place, recursive=True))  # noqa: PTH207 -- patterns may be absolute
        if not matches:
            raise InvalidArgumentError(f"{place}: no file matches")
        found += matches
    return found


@contextmanager
def source(
    place: str,
    kind: str | None = None,
    field: str | None = None,
    *,
    delimiter: str | None = None,
    keep_blank: bool = False,
) -> Iterator[Source]:
    """Open a file of texts, which may be compressed as .gz or .zst; "-" is stdin.

    Raises
    ------
    InvalidArgumentError
        The file's extension is unknown, or an option is for another format.
    """
    form = _form(place, kind, field, delimiter, keep_blank)
    if place == "-":
        yield Source(streams.stdin(), "stdin", *form)
    else:
        with _open(place, form[0]) as file:
            yield Source(file, place, *form)


def _form(
    place: str, kind: str | None, field: str | None, delimiter: str | None, keep_blank: bool
) -> tuple[str, str, str, bool]:
    """Return the last fields of a `Source`, checked."""
    kind = kind or kind_of(place)
    if kind == "txt" and field is not None:
        raise InvalidArgumentError(f"--field {field}: a txt has none; give --format for another format")
    if delimiter is not None and kind != "csv":
        raise InvalidArgumentError(f"--delimiter {delimiter}: is for csv, not {kind}; give --format csv")
    delimiter = "\t" if delimiter == "\\t" else delimiter or ","
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise InvalidArgumentError(f"--delimiter: must be one character, no quote and no line end, got {delimiter!r}")
    return kind, "text" if field is None else field, delimiter, keep_blank


def kind_of(place: str) -> str:
    """Return the format of a file by its extension.

    Raises
    ------
    InvalidArgumentError
        The extension is unknown.
    """
    path = Path(place)
    path = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    kind = "txt" if place == "-" else _ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise InvalidArgumentError(f"{place}: unknown extension; give --format: {', '.join(KINDS)}")
    return kind


def _open(place: str, kind: str) -> BinaryIO:
    suffix = Path(place).suffix.lower()
    if suffix not in _COMPRESSED:
        return Path(place).open("rb")
    if kind == "parquet":
        raise InvalidInputError(f"{place}: parquet is compressed inside: give the file without {suffix}")
    if suffix == ".gz":
        return cast("BinaryIO", gzip.open(place, "rb"))
    try:
        zstd = importlib.import_module("compression.zstd")  # of Python 3.14
    except ImportError:
        try:
            zstd = importlib.import_module("zstandard")
        except ImportError as error:
            raise MissingDependencyError(f"{place}: zst needs zstandard: pip install zstandard") from error
    return cast("BinaryIO", io.BufferedReader(zstd.open(place, "rb")))


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Yield lines, which end with a line feed, with their numbers."""
    for number, line in enumerate(_bytes(source), 1):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            problem = f"must be UTF-8: {error.reason} at byte {error.start} of the line"
            raise InvalidInputError(f"{source.name}:{number}: {problem}") from error


def _bytes(source: Source) -> Iterator[bytes]:
    """Yield the lines of a file that may be compressed."""
    try:
        yield from source.file
    except Exception as error:
        # The packages have errors of their own, beside EOFError and zlib's.
        if not source.name.endswith(_COMPRESSED) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise InvalidInputError(f"{source.name}: can't be decompressed: {error}") from error


def _txt(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line, including blank ones only if they are kept."""
    for number, line in _lines(source):
        if source.keep_blank or not line.isspace():
            yield f"{source.name}:{number}", {source.field: line.removesuffix("\n").removesuffix("\r")}


def _jsonl(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the object of each line, or its string as a text; skip blank lines."""
    for number, line in _lines(source):
        if not line.strip():
            continue
        place = f"{source.name}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{place}: must be JSON: {error}") from error
        if isinstance(value, str):
            value = {source.field: value}
        if not isinstance(value, dict):
            raise InvalidInputError(f"{place}: must be an object or a str, got {line.strip():.40}")
        yield place, value


def _csv(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row by the names in the first; quoted fields may contain commas, quotes and line ends (RFC 4180)."""
    csv.field_size_limit((1 << 31) - 1)  # texts may be long
    rows = csv.reader((line for _, line in _lines(source)), strict=True, delimiter=source.delimiter)

    def numbered() -> Iterator[tuple[int, list[str]]]:
        while True:
            first = rows.line_num + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                problem = f"{error} (this row goes on to line {rows.line_num})"
                raise InvalidInputError(f"{source.name}:{first}: must be csv: {problem}") from error
            if row is None:
                return
            yield first, row

    return _by_names(source, numbered(), blank=[])


def _tsv(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line by the names in the first; a quotation mark is an ordinary character."""
    lines = ((number, line.removesuffix("\n").removesuffix("\r")) for number, line in _lines(source))
    return _by_names(source, ((number, line.split("\t")) for number, line in lines), blank=[""])


def _by_names(
    source: Source, rows: Iterator[tuple[int, list[str]]], blank: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield rows, which come with the numbers of their first lines, by the names in the first row.

    Blank lines are left out, but where they are an empty text: in a tsv of one column.
    """
    number, names = next((row for row in rows if row[1] != blank), (1, []))
    if len(set(names)) < len(names):
        named = ", ".join(map(repr, names))
        raise InvalidInputError(f"{source.name}:{number}: a column's name is repeated: {named}")
    for number, row in rows:
        if len(row) == len(names):
            yield f"{source.name}:{number}", dict(zip(names, row, strict=True))
        elif row != blank:
            problem = f"must have {len(names)} columns, as the first line, got {len(row)}"
            raise InvalidInputError(f"{source.name}:{number}: {problem}")


def _parquet(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    batches = _parquet_file(source).iter_batches(batch_size=1000)
    number = 0
    while True:
        try:
            batch = next(batches, None)
            rows = [] if batch is None else batch.to_pylist()
        except (_arguments.pyarrow().ArrowException, OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{source.name}: after row {number}: can't be read: {error}") from error
        if batch is None:
            return
        for fields in rows:
            number += 1
            yield f"{source.name}: row {number}", fields


def _parquet_file(source: Source) -> Any:
    if not source.file.seekable():
        raise InvalidInputError(
            f"{source.name}: parquet can't be read from a pipe, because its index comes last: give a file"
        )
    pyarrow = _arguments.pyarrow()
    try:
        return pyarrow.parquet.ParquetFile(source.file)
    except pyarrow.ArrowException as error:
        raise InvalidInputError(f"{source.name}: must be parquet: {error}") from error


_READERS: dict[str, Callable[[Source], Iterator[tuple[str, dict[str, Any]]]]] = {
    "txt": _txt,
    "jsonl": _jsonl,
    "csv": _csv,
    "tsv": _tsv,
    "parquet": _parquet,
}
