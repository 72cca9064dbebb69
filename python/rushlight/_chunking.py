"""Methods of `Model` for texts that are longer than it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rushlight import _arguments
from rushlight._loaded import check_truncation
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rushlight import _core
    from rushlight._loaded import Role
    from rushlight._model import Model


def chunk(
    self: Model,
    text: str,
    *,
    max_tokens: int | None = None,
    overlap: int = 0,
    prompt_name: str | None = None,
    prompt: str | None = None,
    role: Role | None = None,
    task: str | None = None,
) -> list[tuple[str, int, int]]:
    """Split a text into chunks that the model reads without truncation.

    Chunks begin and end at token boundaries, at white space where possible, and never inside a character. White space
    between chunks is in no chunk. A chunk exceeds `max_tokens` only if a single character or part of a word does.

    Parameters
    ----------
    text
        Text of any length.
    max_tokens
        Maximum number of tokens of a chunk, special tokens and the prompt included; None is `max_seq_length`.
    overlap
        Approximate number of tokens that a chunk shares with the one before.
    prompt_name, prompt, role, task
        See `encode`. With the same arguments, the chunks are those that `encode_chunks` embeds.

    Returns
    -------
    list of tuple
        `(text[start:end], start, end)` in characters and in order; at least one.

    Raises
    ------
    InvalidArgumentError
        `max_tokens` leaves no space beside the special tokens, or `overlap` leaves none for new tokens.

    Examples
    --------
    >>> from rushlight import Model
    >>> model = Model("all-MiniLM-L6-v2")
    >>> [text for text, _, _ in model.chunk("A lamp lights the room. It is small.", max_tokens=8)]
    ['A lamp lights the room.', 'It is small.']
    """
    prompt = self._prompt(prompt, prompt_name, role, task)
    return _split(self._engine, _arguments.text("text", text), max_tokens, overlap, prompt=prompt, role=role)


def encode_chunks(
    self: Model,
    texts: Iterable[str],
    *,
    max_tokens: int | None = None,
    overlap: int = 0,
    pool: Literal["mean"] | None = None,
    late: bool = False,
    **options: Any,
) -> Any:
    """Embed long texts chunk by chunk.

    Parameters
    ----------
    texts
        Iterable of texts.
    max_tokens, overlap
        See `chunk`; `max_tokens` includes the prompt's tokens.
    pool
        None returns an embedding per chunk; "mean" returns their mean per text, not normalized.
    late
        Read each text as a whole, then take the mean of the token embeddings of each chunk, so that it knows its
        context (late chunking). The modules after pooling follow. Texts longer than `max_seq_length` are read in
        windows, each of which has a quarter in common with the next. Models with mean pooling fit best.
    **options
        See `encode`. The prompt precedes each chunk; with `late`, each text or window, and it is in no chunk. "mean"
        and `late` support float32 arrays only.

    Returns
    -------
    list of numpy.ndarray, or numpy.ndarray
        An array `(chunks, d)` per text; with "mean" float32 `(n, d)`.
    """
    _arguments.one_of("pool", pool, ("mean", None))
    for asked, argument in ((pool is not None, "pool='mean'"), (late, "late=True")):
        if asked:
            _check_plain(options, argument)
    whole, single = _arguments.texts(texts, "texts")
    if single:
        raise InvalidArgumentError("texts: must be a list of texts, got a str")
    role = options.get("role")
    engine = self._engine
    prompt = self._prompt(options.pop("prompt", None), options.pop("prompt_name", None), role, options.get("task"))
    if late:
        arrays = _late(self, whole, max_tokens, overlap, prompt=prompt, **options)
        return arrays if pool is None else _means(arrays, self.embedding_dimension)
    chunks = [
        _split(engine, _arguments.text(f"texts[{i}]", text), max_tokens, overlap, prompt=prompt, role=role)
        for i, text in enumerate(whole)
    ]
    rows = self.encode([text for parts in chunks for text, _, _ in parts], prompt=prompt, **options)
    ends = np.cumsum([len(parts) for parts in chunks], dtype=np.int64)
    arrays = [rows[end - len(parts) : end] for end, parts in zip(ends, chunks, strict=True)]
    return arrays if pool is None else _means(arrays, rows.shape[1])


def _means(arrays: list[NDArray[np.float32]], columns: int) -> NDArray[np.float32]:
    """Return the mean of the rows of each array."""
    return np.stack([array.mean(axis=0) for array in arrays]) if arrays else np.empty((0, columns), np.float32)


def _late(
    self: Model,
    texts: list[Any],
    max_tokens: int | None,
    overlap: int,
    *,
    prompt: str,
    role: Role | None = None,
    task: str | None = None,
    normalize_embeddings: bool = False,
    truncate_dim: int | None = None,
    truncation: str = "ignore",
    batch_size: int = 32,
    show_progress_bar: bool | None = None,
    **plain: Any,
) -> list[NDArray[np.float32]]:
    """Embed the chunks of texts that are read as a whole."""
    _ = show_progress_bar  # texts are few and long
    unknown = set(plain).difference(_PLAIN)
    if unknown:
        raise TypeError(f"encode_chunks got an unexpected keyword argument {min(unknown)!r} with late=True")
    check_truncation(truncation)
    _arguments.positive("batch_size", batch_size)
    if max_tokens is not None:
        max_tokens = _arguments.positive("max_tokens", max_tokens)
    texts = [_arguments.text(f"texts[{i}]", text) for i, text in enumerate(texts)]
    request = self._request(prompt, role, task, normalize_embeddings, truncate_dim, truncation="ignore")
    return self._engine.encode_late_chunks(texts, max_tokens, _arguments.at_least(0, "overlap", overlap), request)


def _split(
    engine: _core.Model,
    text: str,
    max_tokens: int | None,
    overlap: int,
    *,
    prompt: str = "",
    role: Role | None = None,
) -> list[tuple[str, int, int]]:
    """Split a text into chunks that fit into `max_tokens` tokens together with a prompt."""
    if max_tokens is not None:
        max_tokens = _arguments.positive("max_tokens", max_tokens)
    overlap = _arguments.at_least(0, "overlap", overlap)
    spans = engine.chunk(text, max_tokens, overlap, prompt, role)
    return [(text[start:end], start, end) for start, end in spans]


# Options of `encode` that select float32 arrays, with their values.
_PLAIN: dict[str, Any] = {
    "output_value": "sentence_embedding",
    "precision": "float32",
    "convert_to_numpy": True,
    "convert_to_tensor": False,
    "out": None,
}


def _check_plain(options: dict[str, Any], argument: str) -> None:
    """Check that the options of a call with this argument select float32 arrays."""
    for name, value in _PLAIN.items():
        given = options.get(name, value)
        if given is not value if value is None else given != value:
            raise InvalidArgumentError(f"{name}: must be {value!r} with {argument}, got {given!r}")
