"""Long texts, in chunks that a model takes whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rushlight import _arguments
from rushlight._streaming import Streaming
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Chunking(Streaming):
    """What a model of sentence embeddings does with texts that are longer than it takes."""

    def chunk(self, text: str, *, max_tokens: int | None = None, overlap: int = 0) -> list[tuple[str, int, int]]:
        """Part a text into chunks that the model takes whole.

        A chunk begins and ends with a token, at white space where there is some in it, and never within a character.
        White space around chunks belongs to none. A text that is short enough is a single chunk. Only a character or a
        part of a word that alone has more tokens than `max_tokens` makes a chunk with more.

        Parameters
        ----------
        text
            A text of any length.
        max_tokens
            Tokens of a chunk at most, special tokens included; None is `max_seq_length`.
        overlap
            Tokens that a chunk shares with the one before, about: as many as end at a word.

        Returns
        -------
        list of tuple
            `(text[start:end], start, end)`, in characters, in order; at least one.

        Raises
        ------
        InvalidArgumentError
            Where `max_tokens` leaves no room beside the special tokens, or `overlap` none for new tokens.

        Examples
        --------
        >>> from rushlight import Model
        >>> model = Model("all-MiniLM-L6-v2")
        >>> [text for text, _, _ in model.chunk("A lamp lights the room. It is small.", max_tokens=8)]
        ['A lamp lights the room.', 'It is small.']
        """
        return self._chunks(_arguments.text("text", text), max_tokens, overlap, "")

    def _chunks(self, text: str, max_tokens: int | None, overlap: int, prompt: str) -> list[tuple[str, int, int]]:
        """Return the chunks of a text, before each of which a prompt has room."""
        if max_tokens is not None:
            max_tokens = _arguments.positive("max_tokens", max_tokens)
        overlap = _arguments.at_least(0, "overlap", overlap)
        places = self._engine.chunk(text, max_tokens, overlap, prompt)
        return [(text[start:end], start, end) for start, end in places]

    def encode_chunks(
        self,
        texts: Iterable[str],
        *,
        max_tokens: int | None = None,
        overlap: int = 0,
        pool: Literal["mean"] | None = None,
        **options: Any,
    ) -> Any:
        """Embed long texts by their chunks.

        Parameters
        ----------
        texts
            An iterable of texts.
        max_tokens, overlap
            As of `chunk`; the tokens of the prompt are among `max_tokens`.
        pool
            None for an embedding of each chunk; "mean" for their mean, which is not normalized.
        options
            As of `encode`. A prompt goes before each chunk. With "mean" the result is float32 arrays in any case.

        Returns
        -------
        list of numpy.ndarray, or numpy.ndarray
            An array `(chunks, d)` a text; with "mean" float32 `(n, d)`.
        """
        _arguments.one_of("pool", pool, ("mean", None))
        if pool is not None:
            _check_mean(options)
        whole, single = _arguments.texts(texts, "texts")
        if single:
            raise InvalidArgumentError("texts: must be a list of texts, got a str")
        named = (_arguments.text(f"texts[{i}]", text) for i, text in enumerate(whole))
        prompt = self._prompt(options.pop("prompt", None), options.pop("prompt_name", None))
        chunks = [[part for part, _, _ in self._chunks(text, max_tokens, overlap, prompt)] for text in named]
        rows = self.encode([part for parts in chunks for part in parts], prompt=prompt, **options)
        ends = np.cumsum([len(parts) for parts in chunks], dtype=np.int64)
        arrays = [rows[end - len(parts) : end] for end, parts in zip(ends, chunks, strict=True)]
        if pool is None:
            return arrays
        return np.stack([array.mean(axis=0) for array in arrays]) if arrays else rows


def _check_mean(options: dict[str, Any]) -> None:
    """Check that there is a mean of what is asked for."""
    plain = {
        "output_value": "sentence_embedding",
        "precision": "float32",
        "convert_to_numpy": True,
        "convert_to_tensor": False,
        "out": None,
    }
    for name, value in plain.items():
        given = options.get(name, value)
        if given is not value if value is None else given != value:
            raise InvalidArgumentError(f"{name}: must be {value!r} with pool='mean', got {given!r}")
