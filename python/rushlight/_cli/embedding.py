"""Texts become embeddings: in a stream, or all at once."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rushlight import Model, _progress
from rushlight._cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rushlight._cli.reading import Source
    from rushlight._loaded import Role


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add how a model of sentence embeddings runs."""
    parser.set_defaults(similarity=None)
    parser.add_argument(
        "--truncate-dim",
        metavar="N",
        type=options.positive,
        help="columns to keep of every embedding (default: the model's)",
    )
    add_running(parser)


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add how any model runs."""
    parser.add_argument(
        "--truncation",
        choices=("ignore", "warn", "error"),
        default="warn",
        help="what to do about texts that are too long for the model, and are cut (default: warn)",
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="a progress bar on stderr (default: on a terminal that the output doesn't go to)",
    )


def add_similarity(parser: argparse.ArgumentParser) -> None:
    """Add how embeddings are compared."""
    parser.add_argument(
        "--similarity",
        choices=("cosine", "dot", "euclidean", "manhattan"),
        help="what to compare embeddings by; the last two are negative distances (default: the model's)",
    )


def load(arguments: argparse.Namespace) -> Model:
    """Return the model."""
    return Model(
        arguments.model,
        device=arguments.device,
        dtype=arguments.dtype,
        truncate_dim=arguments.truncate_dim,
        similarity_fn_name=arguments.similarity,
        **options.source(arguments),
    )


def score_function(model: Model) -> str:
    """Return what the model's embeddings are compared by, as `util` calls it."""
    return {"cosine": "cos_sim"}.get(model.similarity_fn_name, model.similarity_fn_name)


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Add what goes before the texts, and what they are."""
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--prompt", metavar="TEXT", help="put before every text, as it is")
    before.add_argument("--prompt-name", metavar="NAME", help="the same, by its name in the model")
    roles = parser.add_mutually_exclusive_group()
    for role in ("query", "document"):
        says = f"embed texts as a {role}, where the model makes a difference"
        roles.add_argument(f"--{role}", dest="role", action="store_const", const=role, help=says)


def prompts(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what goes before the texts, and what they are, as `embed` takes it."""
    return {name: getattr(arguments, name) for name in ("role", "prompt", "prompt_name")}


def add_chunk_size(parser: argparse.ArgumentParser) -> None:
    """Add how many texts a stream takes at a time."""
    parser.add_argument(
        "--chunk-size",
        "--batch-size",
        metavar="N",
        type=options.positive,
        default=1000,
        help="texts that are held and written at a time; changes no number (default: 1000)",
    )


def stream(
    model: Model, source: Source, arguments: argparse.Namespace, *, bar: bool = True, **how: Any
) -> Iterator[tuple[list[dict[str, Any]], NDArray[Any]]]:
    """Return an iterator of the fields and the embeddings of texts, a chunk at a time.

    The texts of two chunks are held, and no more. `how` is what `encode_iter` takes; it is checked at once.
    """
    held: deque[dict[str, Any]] = deque()

    def texts() -> Iterator[str]:
        for text, fields in source.records():
            held.append(fields)
            yield text

    options = {"chunk_size": arguments.chunk_size, "truncation": arguments.truncation, **prompts(arguments), **how}
    rows = model.encode_iter(texts(), **options)

    def chunks() -> Iterator[tuple[list[dict[str, Any]], NDArray[Any]]]:
        with _bar(source, shown=bar and shows_progress(arguments)) as tell:
            for embeddings in rows:
                yield [held.popleft() for _ in embeddings], embeddings
                tell(len(embeddings))

    return chunks()


def embed(
    model: Model,
    texts: list[str],
    arguments: argparse.Namespace,
    *,
    role: Role | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    bar: bool = True,
) -> NDArray[Any]:
    """Return the embeddings of texts `(n, d)`."""
    embeddings: NDArray[Any] = model.encode(
        texts,
        role=role,
        prompt=prompt,
        prompt_name=prompt_name,
        truncation=arguments.truncation,
        show_progress_bar=bar and shows_progress(arguments),
    )
    return embeddings


def shows_progress(arguments: argparse.Namespace) -> bool:
    """Whether to show a bar: as it is said, or where a person looks who sees no results come, too."""
    shown: bool | None = arguments.progress
    if shown is not None:
        return shown
    comes = "output" in arguments and arguments.output is None and _progress.is_terminal(sys.stdout)
    return _progress.is_terminal(sys.stderr) and not comes


@contextmanager
def _bar(source: Source, *, shown: bool) -> Iterator[Callable[[int], object]]:
    """Give what is told how many texts are done more; a bar shows them, their rate, and the time that is left."""
    if not shown:
        yield lambda _count: None
        return
    from tqdm.contrib.logging import logging_redirect_tqdm

    with _progress.bar(total=source.count(), desc="Texts", unit="text") as bar, logging_redirect_tqdm():
        yield bar.update
        bar.total = bar.n  # which was known within a few
        bar.refresh()
