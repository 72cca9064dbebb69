"""Texts become embeddings: in a stream, or all at once."""

from __future__ import annotations

import argparse
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rushlight._cli import streams
from rushlight._cli.options import positive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rushlight import Model
    from rushlight._cli.reading import Source


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add how texts become embeddings."""
    parser.add_argument(
        "--truncate-dim", metavar="N", type=positive, help="columns to keep of every embedding (default: the model's)"
    )
    parser.add_argument(
        "--truncation",
        choices=("ignore", "warn", "error"),
        default="warn",
        help="what to do about texts that are too long for the model, and are cut (default: warn)",
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="a progress bar on stderr (default: where it is a terminal)",
    )


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Add what goes before the texts, and what they are."""
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", metavar="TEXT", help="put before every text, as it is")
    prompts.add_argument("--prompt-name", metavar="NAME", help="the same, by its name in the model")
    roles = parser.add_mutually_exclusive_group()
    for role in ("query", "document"):
        says = f"embed texts as a {role}, where the model makes a difference"
        roles.add_argument(f"--{role}", dest="role", action="store_const", const=role, help=says)


def add_chunk_size(parser: argparse.ArgumentParser) -> None:
    """Add how many texts a stream takes at a time."""
    parser.add_argument(
        "--chunk-size",
        "--batch-size",
        metavar="N",
        type=positive,
        default=1000,
        help="texts that are held and written at a time; changes no number (default: 1000)",
    )


def stream(
    model: Model, source: Source, arguments: argparse.Namespace, **options: Any
) -> Iterator[tuple[list[dict[str, Any]], NDArray[Any]]]:
    """Yield the fields and the embeddings of texts, a chunk at a time; `options` are those of `encode_iter`.

    The texts of two chunks are held, and no more.
    """
    if arguments.role is None:
        options |= {"prompt": arguments.prompt, "prompt_name": arguments.prompt_name}
    else:
        model, options["prompt"] = model._in_role(arguments.role, arguments.prompt, arguments.prompt_name)
    held: deque[dict[str, Any]] = deque()

    def texts() -> Iterator[str]:
        for text, fields in source.records():
            held.append(fields)
            yield text

    rows = model.encode_iter(texts(), chunk_size=arguments.chunk_size, truncation=arguments.truncation, **options)
    with _bar(arguments, source) as tell:
        for embeddings in rows:
            yield [held.popleft() for _ in embeddings], embeddings
            tell(len(embeddings))


def embed(model: Model, texts: list[str], arguments: argparse.Namespace) -> NDArray[Any]:
    """Return the embeddings of texts `(n, d)`."""
    encode: dict[str | None, Callable[..., NDArray[Any]]]
    encode = {None: model.encode, "query": model.encode_query, "document": model.encode_document}
    return encode[arguments.role](
        texts,
        prompt=arguments.prompt,
        prompt_name=arguments.prompt_name,
        truncation=arguments.truncation,
        show_progress_bar=shows_progress(arguments),
    )


def shows_progress(arguments: argparse.Namespace) -> bool:
    """Whether to show a bar."""
    shown: bool | None = arguments.progress
    return streams.on_terminal() if shown is None else shown


@contextmanager
def _bar(arguments: argparse.Namespace, source: Source) -> Iterator[Callable[[int], object]]:
    """Give what is told how many texts are done more; a bar shows them, their rate, and the time that is left."""
    if not shows_progress(arguments):
        yield lambda _count: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=source.count(), desc="Texts", unit="text") as bar:
        yield bar.update
        bar.total = bar.n  # which was known within a few
        bar.refresh()
