"""Writers of scores and embeddings, which write as results arrive.

All that was written is readable whatever ends the program. A parquet file, whose index comes last, is not if the
program is killed.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from rushlight import SparseEmbeddings, _arguments
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # Results for texts: numbers, rows, sparse rows, or an array per text.
    Values = NDArray[Any] | SparseEmbeddings | list[NDArray[Any]]


class Writer:
    """File of arrays.

    Parameters
    ----------
    file
        File to write to.
    column
        Name of the arrays among the fields of their texts, in files that have names.
    like
        Results with the row shape and dtype of everything that will be written: an array `(0, ...)`, empty
        `SparseEmbeddings`, or a list of one array `(0, d)`.
    rows
        Number of rows that the file has already, of an interrupted run.
    last
        Bytes of the last of these rows, which is written again to check that the runs agree.
    """

    def __init__(self, file: BinaryIO, column: str, like: Values, rows: int = 0, last: bytes = b"") -> None:
        self.file = file
        self.column = column
        self.like = like
        self.rows = rows
        self._last = last

    def write(self, fields: list[dict[str, Any]], values: Values) -> None:
        """Write a number or a row per text, with the fields of the text if the format has fields."""
        raise NotImplementedError

    def _put(self, data: Any) -> None:
        """Write bytes, but for the first ones that are there already.

        Raises
        ------
        InvalidArgumentError
            These differ, so another input, model or option made the file.
        """
        last, self._last = self._last, b""
        if bytes(data[: len(last)]) != last:
            raise InvalidArgumentError(
                "--resume: the last row of the file differs from what this input, model and options give; "
                "--force starts anew"
            )
        self.file.write(data[len(last) :])

    def close(self) -> None:
        """Write the end of the file."""

    def _check_fields(self, fields: dict[str, Any]) -> None:
        if self.column in fields:
            raise InvalidInputError(f"field {self.column!r}: is in the texts already, and would be overwritten")


class _Npy(Writer):
    """One array; its header has the number of rows, so it is rewritten after each write."""

    like: NDArray[Any]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._write_header()

    def write(self, fields: list[dict[str, Any]], values: Values) -> None:
        _ = fields  # an array has no fields
        again = 1 if self._last else 0
        self._put(np.asarray(values).tobytes())
        self.rows += len(values) - again
        self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.like.dtype),
            "fortran_order": False,
            "shape": (self.rows, *self.like.shape[1:]),
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

    def write(self, fields: list[dict[str, Any]], values: Values) -> None:
        lines = (self._line(names, numbers) for names, numbers in zip(fields, self._numbers(values), strict=True))
        try:
            data = "".join(lines).encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"a field has a lone surrogate, {error.object[error.start]!r}, which is not valid Unicode"
            ) from error
        self._put(data)
        self.file.flush()

    def _line(self, fields: dict[str, Any], numbers: str) -> str:
        _ = fields  # only the numbers are written
        return f"{numbers}\n"

    def _numbers(self, values: Values) -> list[str]:
        """Return the numbers of each text."""
        if isinstance(values, SparseEmbeddings):
            return [
                f'{{"indices": {self._rows(row.indices[None])[0]}, "values": {self._rows(row.values[None])[0]}}}'
                for row in values
            ]
        if isinstance(values, list):
            return [f"[{', '.join(self._rows(rows))}]" for rows in values]
        return self._rows(values)

    def _rows(self, values: NDArray[Any]) -> list[str]:
        # Nine digits represent a float32 exactly.
        number = "%.9g" if values.dtype.kind == "f" else "%d"
        form = number if values.ndim == 1 else self._row % self._separator.join([number] * values.shape[1])
        return [form % tuple(row) for row in values.reshape(len(values), -1).tolist()]


class _Jsonl(_Lines):
    """A JSON object per text."""

    _separator = ", "
    _row = "[%s]"

    def write(self, fields: list[dict[str, Any]], values: Values) -> None:
        arrays = values if isinstance(values, list) else [getattr(values, "values", values)]
        if not all(np.isfinite(array).all() for array in arrays):
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


class _Csv(_Jsonl):
    """A row per text, after a row of names; numbers are a JSON list in the last column."""

    _names: list[str] | None = None

    def write(self, fields: list[dict[str, Any]], values: Values) -> None:
        if self._names is None:
            self._names = list(fields[0])
            if not self.rows:
                self.file.write(_csv_line([*self._names, self.column]).encode())
        super().write(fields, values)

    def _line(self, fields: dict[str, Any], numbers: str) -> str:
        self._check_fields(fields)
        if list(fields) != self._names:
            named = ", ".join(map(repr, self._names or []))
            raise InvalidInputError(f"csv: all texts must have the fields {named}, got {', '.join(map(repr, fields))}")
        cells = [value if isinstance(value, (str, int, float)) else _cell(value) for value in fields.values()]
        return _csv_line([*cells, numbers])


def _cell(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=_json)


def _csv_line(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


class _Parquet(Writer):
    """A row group per write, with the columns of the first texts."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._arrow = _arguments.pyarrow()
        self._added = self._arrow.field(self.column, self._column(self.like).type)
        self._schema: Any = None
        self._writer: Any = None

    def write(self, fields: list[dict[str, Any]], values: Values) -> None:
        if self._writer is None:
            self._open(self._table(fields).schema)
        strange = {name for row in fields for name in row}.difference(self._schema.names)
        if strange:
            raise InvalidInputError(f"parquet: not all texts have a field {min(strange)!r}; write jsonl instead")
        table = self._table(fields, self._schema)
        self._writer.write_table(table.append_column(self._added, self._column(values)))

    @staticmethod
    def _column(values: Values) -> Any:
        from rushlight.integrations import arrow  # which needs pyarrow

        return arrow.array(values)

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


WRITERS: dict[str, type[Writer]] = {"npy": _Npy, "jsonl": _Jsonl, "csv": _Csv, "parquet": _Parquet, "tsv": _Lines}
