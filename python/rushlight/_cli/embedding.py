"""Embedding of texts in a stream or at once, and the options for it."""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from rushlight import Model, MultiVectorModel, SparseModel, _progress, set_num_threads
from rushlight._cli import options
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from rushlight._cli.reading import Record, Records, Source
    from rushlight._loaded import Role


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a sentence embedding model."""
    parser.set_defaults(similarity=None, adapters=[])
    parser.add_argument(
        "--truncate-dim",
        metavar="N",
        type=options.positive,
        help="number of columns to keep of every embedding (default: the model's)",
    )
    add_running(parser)


def _adapter(value: str) -> tuple[str, str]:
    """Parse a name and a folder.

    Raises
    ------
    ArgumentTypeError
        The value lacks one of them.
    """
    name, _, folder = value.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"must be NAME=FOLDER, got {value!r}")
    return name, folder


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add the options of all kinds of models."""
    parser.add_argument(
        "--truncation",
        choices=("ignore", "warn", "error"),
        default="warn",
        help="how to treat texts that are too long for the model and truncated (default: warn)",
    )
    add_progress(parser)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Add the option for progress bars."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar on stderr (default: if stderr is a terminal and results go elsewhere)",
    )


def add_similarity(parser: argparse.ArgumentParser) -> None:
    """Add the option for the similarity function."""
    parser.add_argument(
        "--similarity",
        choices=("cosine", "dot", "euclidean", "manhattan"),
        help="similarity function; euclidean and manhattan are negative distances (default: the model's)",
    )


def load(arguments: argparse.Namespace) -> Model:
    """Return the model.

    Raises
    ------
    InvalidArgumentError
        `--truncate-dim` exceeds the model's number of columns.
    """
    limit_threads(arguments)
    model = Model(
        arguments.model,
        truncate_dim=arguments.truncate_dim,
        similarity_fn_name=arguments.similarity,
        adapters=dict(arguments.adapters),
        **options.computing(arguments),
        **options.source(arguments),
    )
    if arguments.truncate_dim is not None and arguments.truncate_dim > model.embedding_dimension:
        columns = model.embedding_dimension
        raise InvalidArgumentError(f"--truncate-dim {arguments.truncate_dim}: embeddings have {columns} columns")
    return model


def limit_threads(arguments: argparse.Namespace) -> None:
    """Set the number of threads, if one is given."""
    if arguments.num_threads is not None:
        set_num_threads(arguments.num_threads)


def score_function(model: Model) -> str:
    """Return the name in `util` of the model's similarity function."""
    return {"cosine": "cos_sim"}.get(model.similarity_fn_name, model.similarity_fn_name)


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Add the options for prompts, roles and tasks."""
    options.add_prompt(parser, "text to put before every input")
    roles = parser.add_mutually_exclusive_group()
    for role in ("query", "document"):
        says = f"embed the texts as a {role}: with the model's prompt, and modules if it has others, for a {role}"
        roles.add_argument(f"--{role}", dest="role", action="store_const", const=role, help=says)
    parser.add_argument("--task", metavar="NAME", help="task, for models with an adapter for each")
    parser.add_argument(
        "--adapter",
        metavar="NAME=FOLDER",
        type=_adapter,
        action="append",
        dest="adapters",
        help="adapter of peft, a folder or a name on the hub, which --task NAME selects; may be repeated",
    )


def prompts(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return prompt, role and task as keyword arguments of a model."""
    return {name: getattr(arguments, name) for name in ("role", "task", "prompt", "prompt_name")}


def add_chunk_size(parser: argparse.ArgumentParser) -> None:
    """Add the option for the chunk size of a stream."""
    parser.add_argument(
        "--chunk-size",
        "--batch-size",
        metavar="N",
        type=options.positive,
        default=1000,
        help="number of texts to embed and write at a time; changes no result (default: 1000)",
    )


def stream(
    model: Model, source: Records, arguments: argparse.Namespace, *, bar: bool = True, **how: Any
) -> Iterator[tuple[list[dict[str, Any]], NDArray[Any]]]:
    """Return an iterator of fields and embeddings, chunk by chunk.

    At most two chunks of texts are held. `how` are arguments of `encode_iter`, which are checked at once.
    """
    held: deque[Record] = deque()

    def texts() -> Iterator[str]:
        for record in source.records():
            held.append(record)
            yield record.text

    options = {"chunk_size": arguments.chunk_size, "truncation": arguments.truncation, **prompts(arguments), **how}
    rows = model.encode_iter(texts(), **options)

    def chunks() -> Iterator[tuple[list[dict[str, Any]], NDArray[Any]]]:
        done = 0
        with bar_of(source, shown=bar and shows_progress(arguments)) as tell:
            while True:
                with named(lambda: [record.place for record in held], done):
                    embeddings = next(rows, None)
                if embeddings is None:
                    return
                done += len(embeddings)
                yield [held.popleft().fields for _ in embeddings], embeddings
                tell(len(embeddings))

    return chunks()


def load_other(arguments: argparse.Namespace) -> SparseModel | MultiVectorModel:
    """Return the model of `--kind`, which is not dense."""
    limit_threads(arguments)
    kind = SparseModel if arguments.kind == "sparse" else MultiVectorModel
    return kind(arguments.model, device=arguments.device, dtype=arguments.dtype, **options.source(arguments))


def stream_other(
    model: SparseModel | MultiVectorModel, source: Records, arguments: argparse.Namespace
) -> Iterator[tuple[list[dict[str, Any]], Any]]:
    """Yield fields and embeddings of another kind of model, chunk by chunk."""
    names = {"query": "encode_query", "document": "encode_document"}
    other = "encode" if isinstance(model, SparseModel) else "encode_document"
    call = getattr(model, names.get(arguments.role, other))
    how = {"prompt": arguments.prompt, "prompt_name": arguments.prompt_name, "truncation": arguments.truncation}
    records = source.records()
    with bar_of(source, shown=shows_progress(arguments)) as tell:
        while chunk := list(islice(records, arguments.chunk_size)):
            with named([record.place for record in chunk]):
                embeddings = call([record.text for record in chunk], **how)
            yield [record.fields for record in chunk], embeddings
            tell(len(chunk))


@contextmanager
def named(places: Callable[[], Sequence[str]] | Sequence[str], first: int = 0) -> Iterator[None]:
    """Name the file and the line in an error that names an input by its index; `first` is that of the first place."""
    try:
        yield
    except InvalidArgumentError as error:
        found = re.match(r"(?:inputs|documents)\[(\d+)\]", str(error))
        known = places() if callable(places) else places
        index = int(found[1]) - first if found else -1
        if found is None or not 0 <= index < len(known):
            raise
        raise type(error)(known[index] + str(error)[found.end() :]) from error


def embed(
    model: Model,
    source: Source | list[Record],
    arguments: argparse.Namespace,
    *,
    role: Role | None = None,
    task: str | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    bar: bool = True,
) -> NDArray[Any]:
    """Embed texts: `(n, d)`."""
    records = source if isinstance(source, list) else list(source.records())
    with named([record.place for record in records]):
        embeddings: NDArray[Any] = model.encode(
            [record.text for record in records],
            role=role,
            task=task,
            prompt=prompt,
            prompt_name=prompt_name,
            truncation=arguments.truncation,
            show_progress_bar=bar and shows_progress(arguments),
        )
    return embeddings


def shows_progress(arguments: argparse.Namespace) -> bool:
    """Return True for `--progress`, or by default if stderr is a terminal and results go elsewhere."""
    shown: bool | None = arguments.progress
    if shown is not None:
        return shown
    comes = "output" in arguments and arguments.output is None and _progress.is_terminal(sys.stdout)
    return _progress.is_terminal(sys.stderr) and not comes


@contextmanager
def bar_of(source: Records, *, shown: bool) -> Iterator[Callable[[int], object]]:
    """Return a context with a callback for the number of further texts done, which updates a progress bar."""
    if not shown:
        yield lambda _count: None
        return
    from tqdm.contrib.logging import logging_redirect_tqdm

    with _progress.bar(total=source.count(), desc="Texts", unit="text") as bar, logging_redirect_tqdm():
        yield bar.update
        bar.total = bar.n  # which was approximate
        bar.refresh()
