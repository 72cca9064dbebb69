"""Data of evaluations: BEIR's layout of a folder, and subsets of a data set on the hub."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rushlight import _arguments
from rushlight.exceptions import DownloadError, InvalidArgumentError, MissingDependencyError, ModelNotFoundError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping


class Subsets:
    """Subsets of a data set, such as "corpus", with a file for each task; from a folder, or from the hub's cache."""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self._name, self._folder = name, _arguments.path("dataset_id", name)
        self._is_folder = self._folder.is_dir()

    def rows(self, subset: str, task: str, *columns: str) -> list[Mapping[str, Any]]:
        """Return the rows of a task's subset, which must have all `columns`.

        Raises
        ------
        ModelNotFoundError
            There is no file of the task.
        InvalidArgumentError
            A row lacks a column, or a file cannot be read.
        """
        folder = (self._folder if self._is_folder else self._downloaded(subset, task)) / subset
        paths = sorted(path for end in ("parquet", "jsonl") for path in folder.glob(f"{task}[-.]*{end}"))
        if not paths:
            raise ModelNotFoundError(f"{folder}: has no {task}.parquet, {task}.jsonl or {task}-*.parquet")
        rows = [row for path in paths for row in _rows(path)]
        for column in columns:
            if any(column not in row for row in rows):
                raise InvalidArgumentError(f"{paths[0]}: rows must have {', '.join(columns)}, one lacks {column!r}")
        return rows

    def _downloaded(self, subset: str, task: str) -> Path:
        """Return the folder of the hub's cache with a task's files, which are downloaded if they are absent."""
        try:
            hub = importlib.import_module("huggingface_hub")
        except ImportError as error:
            raise MissingDependencyError(
                f"{self._name}: is no folder, and the hub needs huggingface_hub: pip install huggingface_hub"
            ) from error
        patterns = [f"{subset}/{task}-*.parquet", f"{subset}/{task}.*"]
        try:
            return Path(hub.snapshot_download(str(self._name), repo_type="dataset", allow_patterns=patterns))
        except Exception as error:
            raise DownloadError(f"{self._name}: is no folder, and the hub did not deliver it: {error}") from error


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        table = _arguments.pyarrow().parquet.read_table(path)
        yield from table.to_pylist()
        return
    yield from json_lines(path)


def json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a JSON lines file.

    Raises
    ------
    InvalidArgumentError
        A line is no JSON object.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidArgumentError(f"{path}:{number}: must be a JSON object: {error}") from error
            if not isinstance(row, dict):
                raise InvalidArgumentError(f"{path}:{number}: must be a JSON object, got {type(row).__name__}")
            yield row


def relevant_documents(rows: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the ids of relevant documents by the id of the query; a row has one, or a list of them."""
    relevant: dict[str, set[str]] = {}
    for row in rows:
        found = row["corpus-id"]
        relevant.setdefault(row["query-id"], set()).update(found if isinstance(found, list) else [found])
    return relevant


def load_beir(
    folder: str | os.PathLike[str], split: str = "test"
) -> tuple[dict[str, str], dict[str, str], dict[str, set[str]]]:
    """Load queries, a corpus and relevant documents from a folder in the layout of BEIR.

    Parameters
    ----------
    folder
        Folder with `corpus.jsonl` (`_id`, `text` and maybe `title`, which comes before the text), `queries.jsonl`
        (`_id`, `text`), and `qrels/SPLIT.tsv` (a line of names, then query, document and relevance).
    split
        Name of the file in `qrels`.

    Returns
    -------
    tuple of dict
        Arguments of `InformationRetrievalEvaluator`: queries and corpus by id, and the ids of the documents whose
        relevance is above 0, by the id of the query.

    Raises
    ------
    ModelNotFoundError
        A file is missing.
    InvalidArgumentError
        A line has another format.
    """
    root = _arguments.path("folder", folder)
    files = [root / "queries.jsonl", root / "corpus.jsonl", root / "qrels" / f"{split}.tsv"]
    for file in files:
        if not file.is_file():
            raise ModelNotFoundError(f"{file}: does not exist; BEIR's layout has queries.jsonl, corpus.jsonl and qrels")
    queries, corpus = (dict(_texts(file)) for file in files[:2])
    return queries, corpus, _judgements(files[2])


def _texts(file: Path) -> Iterator[tuple[str, str]]:
    """Yield ids and texts, titles first."""
    for row in json_lines(file):
        for key in ("_id", "text"):
            if not isinstance(row.get(key), str):
                raise InvalidArgumentError(f"{file}: objects must have the strings '_id' and 'text', one lacks {key!r}")
        yield row["_id"], f"{row.get('title') or ''} {row['text']}".strip()


def _judgements(file: Path) -> dict[str, set[str]]:
    relevant: dict[str, set[str]] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows, None)  # the names
        for number, row in enumerate(rows, start=2):
            if not row:
                continue
            if len(row) != 3 or not row[2].strip().lstrip("-").isdecimal():
                raise InvalidArgumentError(f"{file}:{number}: must be a query, a document and a number, got {row}")
            if int(row[2]) > 0:
                relevant.setdefault(row[0], set()).add(row[1])
    return relevant
