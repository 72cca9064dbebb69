"""Files of texts as parts, each of which becomes one file of an output folder, in any order and by any worker.

A part is written beside its place and moved there in one step. A worker that dies leaves no part behind, and one that
embeds a part again writes the same bytes. So every row is in the folder once, and another run embeds what is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rushlight import _arguments
from rushlight._cli import reading
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rushlight._jobs.job import Job

# File of a folder that says what is in it. Readers of parquet skip names that begin with an underscore.
MANIFEST = "_rushlight.json"
# Folder of the rows that could not be embedded.
REJECTED = "_rejected"
# Number of rows that a worker embeds in one call.
_ROWS = 1000


@dataclass(frozen=True)
class Part:
    """Rows of a file of texts, and the name of the file that they become."""

    place: str
    first: int
    rows: int
    name: str


@dataclass(frozen=True)
class Done:
    """Number of rows of a part that were embedded, and that were rejected."""

    rows: int
    rejected: int


@dataclass(frozen=True)
class FolderJob:
    """Job whose rows come from files and go into a folder, which all workers see at the same path."""

    job: Job
    folder: str
    form: dict[str, Any]

    def plan(self, places: list[str], rows_per_file: int, *, force: bool = False) -> list[Part]:
        """Return all parts, and write what they are made of into the folder.

        Raises
        ------
        InvalidArgumentError
            The folder holds the output of other settings, or of a file that has changed since.
        """
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = folder / MANIFEST
        settings = self._settings(rows_per_file)
        known: dict[str, Any] = {}
        if force:
            _clear(folder)
        elif manifest.exists():
            old = json.loads(manifest.read_text(encoding="utf-8"))
            _same(folder, old["settings"], settings)
            known = old["inputs"]
        elif any(folder.iterdir()):
            raise InvalidArgumentError(f"{folder}: has other files; give an empty folder, or --force to add to them")
        inputs = {place: self._input(place, known.get(place)) for place in map(os.path.abspath, places)}
        text = json.dumps({"settings": settings, "inputs": {**known, **inputs}}, indent=1)
        _replace(manifest, text.encode())
        return [part for place, about in inputs.items() for part in _split(place, about["rows"], rows_per_file)]

    def missing(self, parts: list[Part]) -> list[Part]:
        """Return the parts whose files are not there."""
        return [part for part in parts if not (Path(self.folder) / part.name).exists()]

    def embed(self, part: Part) -> Done:
        """Embed a part, and write its file."""
        pa = _arguments.pyarrow()
        place = Path(self.folder) / part.name
        beside = place.with_name(f"_{part.name}.{uuid.uuid4().hex}")
        rejected: list[dict[str, Any]] = []
        writer = None
        try:
            for places, table in self._tables(part):
                embedded = self._table(places, table, rejected)
                writer = writer or pa.parquet.ParquetWriter(beside, embedded.schema)
                writer.write_table(embedded)
            if writer is None:
                raise InvalidInputError(f"{part.place}: has fewer rows than when {self.folder} was begun")
            writer.close()
            if rejected:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rejected)
                (Path(self.folder) / REJECTED).mkdir(exist_ok=True)
                _replace(Path(self.folder) / REJECTED / f"{place.stem}.jsonl", lines.encode(errors="replace"))
            with beside.open("rb+") as file:
                os.fsync(file.fileno())  # a machine that dies leaves no empty file behind
            beside.replace(place)
        finally:
            if writer is not None:
                writer.close()
            with suppress(OSError):
                beside.unlink()
        return Done(part.rows, len(rejected))

    def _table(self, places: list[str], table: Any, rejected: list[dict[str, Any]]) -> Any:
        """Return a table with its embeddings; rejected rows go to the list."""
        from rushlight._jobs.job import listed

        pa = _arguments.pyarrow()
        job = self.job
        inputs = job.inputs(table)
        if not job.skip:
            try:
                embeddings = job.embed(inputs)
            except InvalidArgumentError as error:
                raise _placed(error, places) from error
        else:
            inputs = listed(inputs)
            kept, embeddings, errors = job.kept(inputs)
            rejected += [{"place": places[i], "error": errors[i], "text": inputs[i]} for i in sorted(errors)]
            table = table.take(pa.array(kept, pa.int64()))
        return table.append_column(job.output, job.column(embeddings))

    def _tables(self, part: Part) -> Iterator[tuple[list[str], Any]]:
        """Yield the rows of a part as tables, with the place of each row."""
        with reading.source(part.place, **self.form) as source:
            if source.kind == "parquet":
                yield from _parquet(source, part)
            else:
                yield from _records(source, part)

    def _input(self, place: str, known: dict[str, Any] | None) -> dict[str, Any]:
        """Return the number of rows of an input, with the size and the time by which a change is seen."""
        about = os.stat(place)  # noqa: PTH116
        now = {"size": about.st_size, "time": about.st_mtime_ns}
        if known is not None:
            if {name: known[name] for name in now} != now:
                raise InvalidArgumentError(f"{place}: has changed since {self.folder} was begun; --force starts anew")
            return known
        with reading.source(place, **self.form) as source:
            rows = source.count() if source.kind == "parquet" else sum(1 for _ in source.rows())
        return {"rows": rows, **now}

    def _settings(self, rows_per_file: int) -> dict[str, Any]:
        """Return what the content of the folder depends on."""
        job, handle = self.job, self.job.handle
        quiet = {"device", "cache_folder", "local_files_only"}
        settings = {name: value for name, value in handle.settings().items() if name not in quiet}
        return {
            "model": handle.name,
            "kind": job.kind.__name__,
            "columns": list(job.columns),
            "output": job.output,
            "role": job.role,
            "options": settings,
            "precision": job.precision,
            "skip": job.skip,
            "form": self.form,
            "rows_per_file": rows_per_file,
        }


def _split(place: str, rows: int, rows_per_file: int) -> Iterator[Part]:
    """Yield the parts of an input. Their names tell inputs of the same name in several folders apart."""
    stem = f"{Path(place).name.split('.')[0]}-{hashlib.sha256(place.encode(errors='surrogateescape')).hexdigest()[:8]}"
    count = -(-rows // rows_per_file)
    ends = [rows * i // max(count, 1) for i in range(count + 1)]
    for i in range(count):
        yield Part(place, ends[i], ends[i + 1] - ends[i], f"{stem}-{i:05d}-of-{count:05d}.parquet")


def _parquet(source: reading.Source, part: Part) -> Iterator[tuple[list[str], Any]]:
    """Yield tables of a parquet file, all of whose columns stay as they are."""
    pa = _arguments.pyarrow()
    file = pa.parquet.ParquetFile(source.file)
    start, end = part.first, part.first + part.rows
    groups: list[int] = []
    before = offset = 0
    for i in range(file.num_row_groups):
        count = file.metadata.row_group(i).num_rows
        if before < end and before + count > start:
            offset = offset if groups else before
            groups.append(i)
        before += count
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=groups):
        low, high = max(start - offset, 0), min(end - offset, len(batch))
        if low < high:
            names = [f"{source.name}: row {offset + i + 1}" for i in range(low, high)]
            yield names, pa.Table.from_batches([batch.slice(low, high - low)])
        offset += len(batch)


def _records(source: reading.Source, part: Part) -> Iterator[tuple[list[str], Any]]:
    """Yield tables of a file of lines; the fields of all rows have the types of the first ones."""
    pa = _arguments.pyarrow()
    schema = None
    places: list[str] = []
    rows: list[dict[str, Any]] = []
    for i, (place, fields) in enumerate(source.rows()):
        if i < part.first:
            continue
        if i >= part.first + part.rows:
            break
        places.append(place)
        rows.append(fields)
        if len(rows) == _ROWS or i + 1 == part.first + part.rows:
            try:
                table = pa.Table.from_pylist(rows, schema)
            except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
                problem = f"fields must have the types of the first texts'; {error}"
                raise InvalidInputError(f"{places[0]}: in the rows from here: {problem}") from error
            schema = table.schema
            yield places, table
            places, rows = [], []


def _placed(error: InvalidArgumentError, places: list[str]) -> InvalidArgumentError:
    """Return an error that names the file and the line."""
    from rushlight._jobs.job import index_of

    index = index_of(error)
    return error if index is None else type(error)(f"{places[index]}: {str(error).partition(': ')[2]}")


def _same(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Check that the settings of a folder are those of this run."""
    for name, value in new.items():
        if old.get(name) != json.loads(json.dumps(value)):
            problem = f"was begun with {name} {old.get(name)!r}, now {value!r}"
            raise InvalidArgumentError(f"{folder}: {problem}; --force starts anew")


def _clear(folder: Path) -> None:
    """Remove the files of earlier runs, which their manifest proves to be ours."""
    if not (folder / MANIFEST).exists():
        return
    for path in [*folder.glob("*-of-*.parquet"), *folder.glob("_*.parquet.*"), *(folder / REJECTED).glob("*.jsonl")]:
        path.unlink()


def _replace(path: Path, data: bytes) -> None:
    """Write a file in one step."""
    beside = path.with_name(f"_{path.name}.{uuid.uuid4().hex}")
    beside.write_bytes(data)
    beside.replace(path)
