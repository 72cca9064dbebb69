"""Writers of scores and embeddings, which write as results arrive.

All that was written is readable whatever ends the program. A parquet file, whose index comes last, is not if the
program is killed.
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
    """File of arrays.

    Parameters
    ----------
    file
        File to write to.
    column
        Name of the arrays among the fields of their texts, in files that have names.
    like
        Array `(0, ...)` with the row shape and dtype of everything that will be written.
    """

    def __init__(self, file: BinaryIO, column: str, like: NDArray[Any]) -> None:
        self.file = file
        self.column = column
        self.like = like

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        """Write a number or a row per text, with the fields of the text if the format has fields."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the end of the file."""

    def _check_fields(self, fields: dict[str, Any]) -> None:
        if self.column in fields:
            raise InvalidInputError(f"field {self.column!r}: is in the texts already, and would be overwritten")


class _Npy(Writer):
    """One array; its header has the number of rows, so it is rewritten after each write."""

    def __init__(self, file: BinaryIO, column: str, like: NDArray[Any]) -> None:
        super().__init__(file, column, like)
        self._rows = 0
        self._write_header()

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        _ = fields  # an array has no fields
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
        # numpy pads the header, so that the number of rows can grow.
        np.lib.format.write_array_header_1_0(self.file, header)
        self.file.flush()
        self.file.seek(0, 2)


class _Lines(Writer):
    """A line per text."""

    # Separator of the numbers of a row, and format of a row.
    _separator = "\t"
    _row = "%s"

    def __init__(self, file: BinaryIO, column: str, like: NDArray[Any]) -> None:
        super().__init__(file, column, like)
        # Nine digits represent a float32 exactly.
        number = "%.9g" if like.dtype.kind == "f" else "%d"
        self._form = number if like.ndim == 1 else self._row % self._separator.join([number] * like.shape[1])

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        rows = values.reshape(len(values), -1).tolist()
        lines = (self._line(names, self._form % tuple(row)) for names, row in zip(fields, rows, strict=True))
        try:
            data = "".join(lines).encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"a field has a lone surrogate, {error.object[error.start]!r}, which is not valid Unicode"
            ) from error
        self.file.write(data)
        self.file.flush()

    def _line(self, fields: dict[str, Any], numbers: str) -> str:
        _ = fields  # only the numbers are written
        return f"{numbers}\n"


class _Jsonl(_Lines):
    """A JSON object per text."""

    _separator = ", "
    _row = "[%s]"

    def write(self, fields: list[dict[str, Any]], values: NDArray[Any]) -> None:
        if not np.isfinite(values).all():
            raise InvalidArgumentError(f"{self.column}: not all numbers are finite, which JSON requires")
        super().write(fields, values)

    def _line(self, fields: dict[str, Any], numbers: str) -> str:
        self._check_fields(fields)
        # json would write a list of numbers three times as slowly, and half as long again.
        try:
            before = json.dumps(fields, ensure_ascii=False, allow_nan=False, default=_json)[1:-1]
        except InvalidInputError:
            raise
        except ValueError as error:
            raise InvalidInputError("jsonl: a field is not a finite number, which JSON requires") from error
        return f'{{{before}{", " if before else ""}"{self.column}": {numbers}}}\n'


def _json(value: Any) -> str:
    """Return a value of a parquet file, such as a date or a decimal number, for JSON."""
    if isinstance(value, bytes):
        raise InvalidInputError("jsonl: the texts have a field of bytes, which JSON cannot represent")
    return str(value)


class _Parquet(Writer):
    """A row group per write, with the columns of the first texts."""

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
            raise InvalidInputError(f"parquet: not all texts have a field {min(strange)!r}; write jsonl instead")
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
# Formats that need a seekable file, because a header or an index describes the rest.
_FILES = {"npy", "parquet"}
_ENDINGS = {".ndjson": "jsonl"} | {f".{kind}": kind for kind in _WRITERS}


def add_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the output file and its format, which is `kind` on stdout."""
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="file to write (default: stdout)")
    parser.add_argument(
        "--output-format",
        choices=tuple(_WRITERS),
        help=f"output format (default: by OUT's extension, {kind} on stdout); tsv has only the numbers; "
        "npy and parquet need a file",
    )
    parser.set_defaults(stdout_format=kind)


def _is_read(path: Path, name: str) -> bool:
    """Return True if a file is the input of that name, which may be stdin."""
    if name != "-":
        return path.samefile(name)
    try:
        return os.path.samestat(os.fstat(sys.stdin.fileno()), path.stat())
    except (AttributeError, OSError, ValueError):  # an object that stands for a file
        return False


def write(
    arguments: argparse.Namespace,
    column: str,
    like: NDArray[Any],
    inputs: list[str],
    chunks: Iterable[tuple[list[dict[str, Any]], NDArray[Any]]],
) -> None:
    """Write chunks, which are fields of texts with a number or a row for each, to the output of the arguments.

    An existing file is overwritten once the first chunk has arrived. `inputs` are the files that are being read. See
    `Writer` for the other arguments.

    Raises
    ------
    InvalidArgumentError
        The file's extension is unknown, the file is an input, or it is a pipe and the format needs a file.
    InvalidInputError
        Rows have no numbers, and the format has no such rows.
    """
    path: Path | None = arguments.output
    kind = _kind(arguments, path)
    if path is None and kind in _FILES:
        raise InvalidArgumentError(f"stdout: {kind} needs a file: -o OUT.{kind}")
    if path is not None and path.is_file() and any(_is_read(path, name) for name in inputs):
        raise InvalidArgumentError(f"{path}: is read as an input, so it can't be the output")
    if kind == "parquet":
        _arguments.pyarrow()
        if like.shape[1:] == (0,):
            raise InvalidInputError(f"{column}: parquet has no rows without numbers")
    iterator = iter(chunks)
    first = list(islice(iterator, 1))
    opened: AbstractContextManager[BinaryIO]
    opened = nullcontext(streams.stdout()) if path is None else path.open("wb")
    with opened as file:
        if kind in _FILES and not file.seekable():
            raise InvalidArgumentError(f"{path}: {kind} needs a file: -o OUT.{kind}")
        with closing(_WRITERS[kind](file, column, like)) as writer:
            for fields, values in chain(first, iterator):
                writer.write(fields, values)


def _kind(arguments: argparse.Namespace, path: Path | None) -> str:
    """Return the output format."""
    if arguments.output_format is not None:
        return str(arguments.output_format)
    kind = arguments.stdout_format if path is None else _ENDINGS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_WRITERS)
        raise InvalidArgumentError(f"{path}: unknown extension; give --output-format: {known}")
    return str(kind)
