"""Readers of texts from files and stdin, which stream them: inputs may be endless, or larger than memory."""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from rushlight import _arguments
from rushlight._cli import streams
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

KINDS = ("txt", "jsonl", "csv", "tsv", "parquet")
_ENDINGS = {"": "txt", ".ndjson": "jsonl"} | {f".{kind}": kind for kind in KINDS}


class Record(NamedTuple):
    """A text, and all fields of its row, including the text."""

    text: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Open file of texts."""

    file: BinaryIO
    name: str
    kind: str
    field: str

    def records(self) -> Iterator[Record]:
        """Yield the texts.

        Raises
        ------
        InvalidInputError
            The file has another format, or no text in the field; the message names the line or row.
        """
        for place, fields in _READERS[self.kind](self):
            if self.field not in fields:
                there = ", ".join(map(repr, fields)) or "none"
                raise InvalidInputError(
                    f"{place}: no field {self.field!r}; there are {there} (select one with --field)"
                )
            text = _arguments.text(f"{place}: field {self.field!r}", fields[self.field], InvalidInputError)
            yield Record(text, fields)

    def texts(self) -> list[str]:
        """Return all texts."""
        return [record.text for record in self.records()]

    def count(self) -> int | None:
        """Return the approximate number of texts; None for a pipe."""
        if not self.file.seekable():
            return None
        if self.kind == "parquet":
            return int(_parquet_file(self).metadata.num_rows)
        start = self.file.tell()
        lines = sum(block.count(b"\n") for block in iter(partial(self.file.read, 1 << 20), b""))
        self.file.seek(start)
        return lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the input format."""
    parser.add_argument(
        "--format",
        choices=KINDS,
        help="input format (default: by the file's extension, txt for stdin); csv fields may be quoted, "
        "tsv fields never are",
    )
    parser.add_argument("--field", help='field of the text in jsonl, csv, tsv and parquet (default: "text")')


@contextmanager
def source(place: str, kind: str | None = None, field: str | None = None) -> Iterator[Source]:
    """Open a file of texts; "-" is stdin.

    Raises
    ------
    InvalidArgumentError
        The file's extension is unknown, or a field is given for a txt file.
    """
    kind = kind or ("txt" if place == "-" else _ENDINGS.get(Path(place).suffix.lower()))
    if kind is None:
        raise InvalidArgumentError(f"{place}: unknown extension; give --format: {', '.join(KINDS)}")
    if kind == "txt" and field is not None:
        raise InvalidArgumentError(f"--field {field}: a txt has none; give --format for another format")
    field = "text" if field is None else field
    if place == "-":
        yield Source(streams.stdin(), "stdin", kind, field)
    else:
        with Path(place).open("rb") as file:
            yield Source(file, place, kind, field)


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Yield lines, which end with a line feed, with their numbers."""
    for number, line in enumerate(source.file, 1):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            problem = f"must be UTF-8: {error.reason} at byte {error.start} of the line"
            raise InvalidInputError(f"{source.name}:{number}: {problem}") from error


def _txt(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line, including empty ones."""
    for number, line in _lines(source):
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
    rows = csv.reader((line for _, line in _lines(source)), strict=True)

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
