"""Model with the options of its calls, as workers of an engine get it, and tables that it embeds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rushlight import Model, Reranker, _arguments, set_num_threads, util
from rushlight._jobs import packed
from rushlight.exceptions import InferenceError, InvalidArgumentError, InvalidInputError, ModelFormatError
from rushlight.integrations._handle import Handle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rushlight._loaded import Role


@dataclass(frozen=True)
class Job:
    """Model by name, and what it computes of which columns.

    Parameters
    ----------
    model
        Name or folder of a model, which every worker finds.
    kind
        Class of the model.
    columns
        Column of the texts; for a reranker those of the queries and of the documents.
    output
        Name of the column of embeddings or scores.
    role
        "query" or "document".
    options
        Options of the model and of its calls; see `Handle`.
    precision
        "float32", "binary" or "ubinary".
    num_threads
        Number of threads of a worker; None leaves the process's limit.
    skip
        Keep rows that can't be embedded, with a null, and an error in the column `{output}_error`.
    shared
        Share packed weights with the other workers of the machine; see `rushlight._jobs.packed`.
    """

    model: str
    kind: type[Any] = Model
    columns: tuple[str, ...] = ("text",)
    output: str = "embedding"
    role: Role | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    num_threads: int | None = None
    skip: bool = False
    shared: bool = False

    def __post_init__(self) -> None:
        count = 2 if self.kind is Reranker else 1
        if len(self.columns) != count:
            needs = "two columns, of queries and of documents" if count == 2 else "one column of texts"
            raise InvalidArgumentError(f"column: {self.kind.__name__} needs {needs}, got {self.columns}")
        _arguments.one_of("precision", self.precision, ("float32", "binary", "ubinary"))
        _arguments.one_of("role", self.role, (None, "query", "document"))
        if self.precision != "float32" and self.kind is not Model:
            raise InvalidArgumentError(f"precision: {self.precision!r} is for dense models, not {self.kind.__name__}")
        _ = self.handle  # checks the options

    @property
    def handle(self) -> Handle[Any]:
        """Model, which the process loads once."""
        options = self.options
        if self.shared and "packed_folder" not in options and options.get("mmap", True):
            options = {"packed_folder": packed.folder(), **options}
        return Handle(self.kind, self.model, options)

    @property
    def error(self) -> str:
        """Name of the column of errors."""
        return f"{self.output}_error"

    def start(self) -> None:
        """Prepare a worker: limit its threads, and load the model."""
        if self.num_threads is not None:
            set_num_threads(self.num_threads)
        handle = self.handle
        try:
            _ = handle.model
        except (InferenceError, InvalidArgumentError, ModelFormatError) as error:
            if not packed.give_up(handle.load_options.get("packed_folder"), error):
                raise
            _ = self.handle.model

    def embed(self, inputs: Any) -> Any:
        """Embed a list or column of texts, or score pairs."""
        handle = self.handle
        if self.kind is Reranker:
            return handle.model.predict(inputs, **handle.call_options)
        embeddings = handle.encode(inputs, self.role)
        return embeddings if self.precision == "float32" else util.quantize_embeddings(embeddings, self.precision)

    def inputs(self, table: Any) -> Any:
        """Return the texts of a table as a column, or as a list if some are null; or a list of its pairs.

        Raises
        ------
        InvalidInputError
            The table lacks the column, or has one of the output's name.
        """
        names = table.schema.names
        for name in self.columns:
            if name not in names:
                raise InvalidInputError(f"column {name!r}: not in the table; there are {', '.join(map(repr, names))}")
        if self.output in names:
            raise InvalidInputError(f"column {self.output!r}: is in the table already; choose another output")
        texts = [table.column(name) for name in self.columns]
        if len(texts) > 1:
            return list(zip(*map(listed, texts), strict=True))
        # The error of a column with nulls names null_value, which a job has not.
        return listed(texts[0]) if texts[0].null_count else texts[0]

    def kept(self, inputs: list[Any]) -> tuple[list[int], Any, dict[int, str]]:
        """Embed the inputs that can be, and return their indices, their embeddings, and the errors of the others."""
        errors = {i: "null" for i, value in enumerate(inputs) if not _is_text(value)}
        good = [i for i in range(len(inputs)) if i not in errors]
        while True:
            try:
                return good, self.embed([inputs[i] for i in good]), errors
            except InvalidArgumentError as error:
                index = index_of(error)
                if index is None:
                    raise
                errors[good[index]] = str(error).partition(": ")[2]
                del good[index]

    def column(self, embeddings: Any, *, fixed_size: bool = True) -> Any:
        """Return the result of a call as an Arrow array.

        Raises
        ------
        InvalidArgumentError
            A reranker has several scores a pair.
        """
        from rushlight.integrations.arrow import array  # which needs pyarrow

        if self.kind is Reranker:
            if embeddings.ndim != 1:
                raise InvalidArgumentError(f"model: must have one label, has {embeddings.shape[1]}")
            return array(embeddings)
        return array(embeddings, fixed_size=fixed_size, width=self.handle.dimension)

    def table(self, table: Any, *, fixed_size: bool = True) -> Any:
        """Return an Arrow table with its embeddings or scores; see `rushlight.integrations.arrow.array`.

        Raises
        ------
        InvalidInputError
            A text can't be embedded, and such rows are not kept; the message names the row.
        """
        pa = _arguments.pyarrow()
        inputs = self.inputs(table)
        if not self.skip:
            try:
                embeddings = self.embed(inputs)
            except InvalidArgumentError as error:
                raise _with_text(error, self.columns, listed(inputs)) from error
            return table.append_column(self.output, self.column(embeddings, fixed_size=fixed_size))
        inputs = listed(inputs)
        good, embeddings, errors = self.kept(inputs)
        places = {row: position for position, row in enumerate(good)}
        rows = self.column(embeddings, fixed_size=fixed_size)
        column = rows.take(pa.array([places.get(i) for i in range(len(inputs))], pa.int32()))
        messages = pa.array([errors.get(i) for i in range(len(inputs))], pa.string())
        return table.append_column(self.output, column).append_column(self.error, messages)


def listed(inputs: Any) -> list[Any]:
    """Return a column of Arrow as a list, and a list unchanged."""
    return inputs if isinstance(inputs, list) else inputs.to_pylist()


def index_of(error: Exception) -> int | None:
    """Return the index of the input that an error names."""
    found = re.match(r"(?:inputs|documents)\[(\d+)\]", str(error))
    return int(found[1]) if found else None


def _is_text(value: Any) -> bool:
    return all(isinstance(text, str) for text in (value if isinstance(value, tuple) else (value,)))


def _with_text(error: InvalidArgumentError, columns: tuple[str, ...], inputs: list[Any]) -> InvalidArgumentError:
    """Return an error that names the column, and the row of the batch with the start of its text."""
    index = index_of(error)
    if index is None:
        return error
    problem = str(error).partition(": ")[2]
    return type(error)(f"column {columns[-1]!r}: row {index} of the batch, {inputs[index]!r:.60}: {problem}")
