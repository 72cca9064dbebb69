"""Numbers into files, as they come.

After each write all that was written can be read, whatever ends the program; a parquet, whose index comes last, unless
it is killed.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from rushlight import _arguments
from rushlight._cli import streams
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray


class Writer:
    """A file of arrays.

    Parameters
    ----------
    file
        Where to write.
    column
        What the arrays are called beside the fields of their texts, where the file has names.
    like
        An array `(0, ...)` of the shape and dtype of all that will be written.
    """

    def __init__(self, file: BinaryIO, column: str, like: NDArray[Any]) -> None:
        self.file = file
        self.column = column
        self.like = like

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        """Write a number or a row for each text, and the fields of the text where the file has them."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what stands at the end of the file."""

    def _check_fields(self, fields: dict[str, Any]) -> None:
        if self.column in fields:
            raise InvalidInputError(f"the texts have a field {self.column!r}, which would be written over")


class _Npy(Writer):
    """One array, whose header says how many rows there are: it is written again after each of the writes."""

    def __init__(self, file: BinaryIO, column: str, like: NDArray[Any]) -> None:
        super().__init__(file, column, like)
        self._rows = 0
        self._write_header()

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        _ = fields  # an array has no place for them
        self.file.write(np.ascontiguousarray(values).data)
        self._rows += len(values)
        self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.like.dtype),
            "fortran_order": False,
            "shape": (self._rows, *self.like.shape[1:]),
        }
        self.file.flush()
        self.file.seek(0)
        # numpy leaves room for the number of rows to grow.
        np.lib.format.write_array_header_1_0(self.file, header)
        self.file.flush()
        self.file.seek(0, 2)


class _Lines(Writer):
    """A line for each text."""

    # What the numbers of a row stand between, and in.
    _separator = "\t"
    _row = "%s"

    def __init__(self, file: BinaryIO, column: str, like: NDArray[Any]) -> None:
        super().__init__(file, column, like)
        # Nine digits are all that a float32 has.
        number = "%.9g" if like.dtype.kind == "f" else "%d"
        self._form = number if like.ndim == 1 else self._row % self._separator.join([number] * like.shape[1])

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        rows = values.reshape(len(values), -1).tolist()
        lines = (self._line(names, self._form % tuple(row)) for names, row in zip(fields, rows, strict=True))
        try:
            data = "".join(lines).encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(f"a field holds half a character, {error.object[error.start]!r}") from error
        self.file.write(data)
        self.file.flush()

    def _line(self, fields: dict[str, Any], numbers: str) -> str:
        _ = fields  # the numbers stand alone
        return f"{numbers}\n"


class _Jsonl(_Lines):
    """An object for each text."""

    _separator = ", "
    _row = "[%s]"

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        if not np.isfinite(values).all():
            raise InvalidArgumentError(f"{self.column}: not all numbers are finite, and JSON has no others")
        super().write(fields, values)

    def _line(self, fields: dict[str, Any], numbers: str) -> str:
        self._check_fields(fields)
        # What json makes of a list of numbers is right, too, but takes three times as long and is half as long again.
        try:
            before = json.dumps(fields, ensure_ascii=False, allow_nan=False, default=_json)[1:-1]
        except InvalidInputError:
            raise
        except ValueError as error:
            raise InvalidInputError("jsonl: a field is not a finite number, and JSON has no others") from error
        return f'{{{before}{", " if before else ""}"{self.column}": {numbers}}}\n'


def _json(value: Any) -> str:
    """Return what JSON has of what a parquet may hold: a date or a decimal number."""
    if isinstance(value, bytes):
        raise InvalidInputError("jsonl: the texts have a field of bytes, for which JSON has nothing")
    return str(value)


class _Parquet(Writer):
    """A row group for each write; the columns are those of the first one's texts."""

    def __init__(self, file: BinaryIO, column: str, like: NDArray[Any]) -> None:
        super().__init__(file, column, like)
        self._arrow = _arguments.pyarrow()
        number = self._arrow.from_numpy_dtype(like.dtype)
        kind = number if like.ndim == 1 else self._arrow.list_(number, like.shape[1])
        self._added = self._arrow.field(column, kind)
        self._schema: Any = None
        self._writer: Any = None

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        if self._writer is None:
            self._open(self._table(fields).schema)
        strange = {name for row in fields for name in row}.difference(self._schema.names)
        if strange:
            raise InvalidInputError(f"parquet: not all texts have a field {min(strange)!r}; jsonl takes them")
        table = self._table(fields, self._schema)
        numbers = self._arrow.array(values.reshape(-1))
        if values.ndim == 2:
            numbers = self._arrow.FixedSizeListArray.from_arrays(numbers, values.shape[1])
        self._writer.write_table(table.append_column(self._added, numbers))

    def _table(self, fields: list[dict[str, Any]], schema: Any = None) -> Any:
        try:
            return self._arrow.Table.from_pylist(fields, schema)
        except (self._arrow.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise InvalidInputError(f"parquet: fields must have the types of the first texts'; {error}") from error

    def close(self) -> None:
        if self._writer is None:
            self._open(self._arrow.schema([]))
        self._writer.close()

    def _open(self, schema: Any) -> None:
        self._check_fields(dict.fromkeys(schema.names))
        self._schema = schema
        self._writer = self._arrow.parquet.ParquetWriter(self.file, schema.append(self._added))


_WRITERS: dict[str, type[Writer]] = {"npy": _Npy, "jsonl": _Jsonl, "parquet": _Parquet, "tsv": _Lines}
# What can be written into a file alone: its beginning, or its end, tells of the rest.
_FILES = {"npy", "parquet"}
_ENDINGS = {".ndjson": "jsonl"} | {f".{kind}": kind for kind in _WRITERS}


def add_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add where to write, and as what: on the standard output as `kind`."""
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="the file to write (default: stdout)")
    parser.add_argument(
        "--output-format",
        choices=tuple(_WRITERS),
        help=f"what to write (default: by OUT's ending, {kind} on stdout); tsv has the numbers alone, "
        "npy and parquet are written into files alone",
    )
    parser.set_defaults(stdout_format=kind)


def _is_read(place: Path, name: str) -> bool:
    """Whether a file is the input of that name, which may be the standard one."""
    if name != "-":
        return place.samefile(name)
    try:
        return os.path.samestat(os.fstat(sys.stdin.fileno()), place.stat())
    except (AttributeError, OSError, ValueError):  # no file, but something that is read like one
        return False


def write(
    arguments: argparse.Namespace,
    column: str,
    like: NDArray[Any],
    inputs: list[str],
    chunks: Iterable[tuple[list[dict[str, Any]], NDArray[Any]]],
) -> None:
    """Write chunks, which are fields of texts with a number or a row for each, where and as what is asked for.

    What is there is written over when the first chunk is there. `inputs` are the files that are read meanwhile, and
    further arguments are `Writer`'s.

    Raises
    ------
    InvalidArgumentError
        Where the file's ending does not tell its kind, or it is one of the inputs, or a pipe that can't take the kind.
    InvalidInputError
        Where the rows have no numbers, and the kind has no such rows.
    """
    place: Path | None = arguments.output
    kind = _kind(arguments, place)
    if place is None and kind in _FILES:
        raise InvalidArgumentError(f"stdout: {kind} needs a file: -o OUT.{kind}")
    if place is not None and place.is_file() and any(_is_read(place, name) for name in inputs):
        raise InvalidArgumentError(f"{place}: is read; it can't be written meanwhile")
    if kind == "parquet":
        _arguments.pyarrow()
        if like.shape[1:] == (0,):
            raise InvalidInputError(f"{column}: parquet has no rows without numbers")
    iterator = iter(chunks)
    first = list(islice(iterator, 1))
    opened: AbstractContextManager[BinaryIO]
    opened = nullcontext(streams.stdout()) if place is None else place.open("wb")
    with opened as file:
        if kind in _FILES and not file.seekable():
            raise InvalidArgumentError(f"{place}: {kind} needs a file: -o OUT.{kind}")
        with closing(_WRITERS[kind](file, column, like)) as writer:
            for fields, values in chain(first, iterator):
                writer.write(fields, values)


def _kind(arguments: argparse.Namespace, place: Path | None) -> str:
    """Return what to write."""
    if arguments.output_format is not None:
        return str(arguments.output_format)
    kind = arguments.stdout_format if place is None else _ENDINGS.get(place.suffix.lower())
    if kind is None:
        known = ", ".join(_WRITERS)
        raise InvalidArgumentError(f"{place}: no kind is known by this ending; --output-format says it: {known}")
    return str(kind)
