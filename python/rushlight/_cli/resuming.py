"""Rows of output files that an interrupted run has left."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rushlight._cli.writers import Values


class Rows(NamedTuple):
    """Complete rows of a file: their number, the bytes of the last one, and the size of the file up to its end."""

    number: int
    last: bytes
    size: int

    @property
    def skipped(self) -> int:
        """Number of texts that need not be embedded again. The last one is, to check that the runs agree."""
        return max(self.number - 1, 0)


NONE = Rows(0, b"", 0)


def rows(path: Path, kind: str, like: Values) -> Rows:
    """Return the complete rows of a file.

    Raises
    ------
    InvalidArgumentError
        The format can't be resumed, or the file has other rows than `like`.
    """
    if kind == "parquet":
        raise InvalidArgumentError(f"{path}: a parquet can't be resumed, because its index comes last: write a folder")
    with path.open("rb") as file:
        if kind == "npy":
            return _npy(path, file, like)
        return _last(_csv_rows(file) if kind == "csv" else _lines(file), 1 if kind == "csv" else 0)


def _npy(path: Path, file: BinaryIO, like: Values) -> Rows:
    try:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    except (ValueError, EOFError) as error:
        raise InvalidInputError(f"{path}: must be an npy: {error}") from error
    start = file.tell()
    if not isinstance(like, np.ndarray) or shape[1:] != like.shape[1:] or dtype != like.dtype:
        raise InvalidArgumentError(f"{path}: has rows of {dtype} {shape[1:]}, which are not those of this model")
    width = dtype.itemsize * math.prod(shape[1:])
    count = min(shape[0], (file.seek(0, 2) - start) // width)
    if not count:
        return NONE
    file.seek(start + (count - 1) * width)
    return Rows(count, file.read(width), start + count * width)


def _last(ends: Iterator[tuple[bytes, int]], header: int) -> Rows:
    """Return the rows of a file by the bytes and the end of each, without a header of so many rows."""
    count, last, size = 0, b"", 0
    for row, end in ends:
        count, last, size = count + 1, row, end
    return Rows(count - header, last, size) if count > header else NONE


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    end = 0
    for line in file:
        end += len(line)
        if line.endswith(b"\n"):
            yield line, end


def _csv_rows(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield rows, which may go over several lines; an incomplete one at the end is left out."""
    csv.field_size_limit((1 << 31) - 1)
    read: list[bytes] = []

    def lines() -> Iterator[str]:
        for line in file:
            read.append(line)
            yield line.decode(errors="replace")

    reader, end = csv.reader(lines(), strict=True), 0
    try:
        for _ in reader:
            row = b"".join(read)
            read.clear()
            end += len(row)
            if row.endswith(b"\n"):
                yield row, end
    except csv.Error:
        return
