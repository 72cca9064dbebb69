"""Method of `Model` that embeds streams."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

from rushlight import _arguments, _columns
from rushlight._loaded import check_truncation, warn_of_truncation
from rushlight._quantized import quantized
from rushlight.exceptions import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from rushlight import _core
    from rushlight._loaded import Role
    from rushlight._model import Model


def encode_iter(
    self: Model,
    inputs: Iterable[str | tuple[str, str]],
    *,
    chunk_size: int = 1000,
    prompt_name: str | None = None,
    prompt: str | None = None,
    role: Role | None = None,
    task: str | None = None,
    precision: Literal["float32", "binary", "ubinary"] = "float32",
    normalize_embeddings: bool = False,
    truncate_dim: int | None = None,
    truncation: Literal["ignore", "warn", "error"] = "ignore",
    device: str | None = None,
    null_value: str | None = None,
) -> Iterator[NDArray[Any]]:
    """Embed a stream of texts in constant memory.

    The next chunk is tokenized while one is computed, so an array is yielded once the texts after it have arrived or
    the stream has ended. At most two chunks of texts and one of embeddings are held.

    Parameters
    ----------
    inputs
        Iterable of texts and pairs, which may be endless: a generator, a file, …
    chunk_size
        Number of rows of an array, at least 1; the last array may have fewer.
    precision
        "float32", "binary" or "ubinary"; int8 and uint8 need the ranges of all texts.
    prompt_name, prompt, role, task, normalize_embeddings, truncate_dim, truncation, device, null_value
        See `encode`; "warn" logs one warning at the end.

    Yields
    ------
    numpy.ndarray
        `(chunk_size, d)`, in the order of the texts, with the bits of `encode` on a CPU. An empty stream yields
        nothing.

    Raises
    ------
    InvalidInputError
        An input is not text: raised after the chunks before it, with its type and index.
    InvalidArgumentError
        An argument is out of range or unknown: raised at once. A text is too long and `truncation="error"`.

    Examples
    --------
    >>> from rushlight import Model
    >>> model = Model("all-MiniLM-L6-v2")
    >>> lines = (f"line {i}" for i in range(2500))
    >>> [len(embeddings) for embeddings in model.encode_iter(lines)]
    [1000, 1000, 500]
    """
    chunk_size = _arguments.positive("chunk_size", chunk_size)
    _arguments.one_of("precision", precision, ("float32", "binary", "ubinary"))
    check_truncation(truncation)
    self._check_device(device)
    if isinstance(inputs, str):
        raise InvalidInputError("inputs: must be an iterable of texts, got a str; for one text pass [text]")
    texts = _arguments.stream("inputs", inputs, null_value)
    engine, prompt = self._engine, self._prompt(prompt, prompt_name, role, task)
    request = self._request(prompt, role, task, normalize_embeddings, truncate_dim, truncation=truncation)
    stream = engine.stream(request)

    def embed() -> Iterator[NDArray[Any]]:
        truncated = longest = total = 0
        for embeddings, count, most in chunks(stream, texts, chunk_size):
            truncated, longest, total = truncated + count, max(longest, most), total + len(embeddings)
            yield quantized(embeddings, precision)
        if truncation == "warn":
            warn_of_truncation(truncated, total, longest, engine.max_seq_length_of(role))

    return embed()


def chunks(
    stream: _core.Stream, texts: Iterable[Any] | _columns.Strings, chunk_size: int
) -> Iterator[tuple[NDArray[np.float32], int, int]]:
    """Yield the embeddings of each chunk, the number of truncated texts, and the token count of the longest one."""
    take, first, error = _taking(texts, chunk_size), 0, None
    more = True
    while more:
        try:
            chunk = take()
            embedded = stream.step(chunk, first)
        except Exception as raised:  # noqa: BLE001 -- the caller's iterator may raise anything
            # The chunk before it is valid, and is yielded first.
            chunk, error = [], raised
            embedded = stream.step(chunk, first)
        first += len(chunk)
        more = len(chunk) > 0
        if len(embedded[0]):
            yield embedded
    if error is not None:
        raise error


def _taking(texts: Iterable[Any] | _columns.Strings, count: int) -> Callable[[], _columns.Texts]:
    """Return a function that takes the next texts, at most `count`."""
    if isinstance(texts, _columns.Strings):
        starts = itertools.count(step=count)
        return lambda: texts.slice(next(starts), count)
    iterator = iter(texts)
    return lambda: list(itertools.islice(iterator, count))
