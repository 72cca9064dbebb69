"""Tokenizers of models."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rushlight import _core


class Tokenizer:
    """Tokenizer of a model, from the attribute `tokenizer`."""

    __slots__ = ("_core",)  # other attributes would have no effect

    def __init__(self, core: _core.Model | _core.MultiVectorModel | _core.Reranker | _core.SparseModel) -> None:
        self._core = core

    @property
    def _current(self) -> _core.Tokenizer:
        # It truncates texts at the model's current limit.
        return self._core.tokenizer(None)

    @property
    def vocab_size(self) -> int:
        """Number of tokens in the vocabulary, without added ones."""
        return self._current.vocab_size

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, with special tokens, truncated to the model's limit."""
        return self._current.tokenize([_arguments.text("text", text, InvalidInputError)])[0][0]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of token ids, which may differ from the text that they came from."""
        return self._current.decode(token_ids(ids), bool(skip_special_tokens))

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size})"


# Tokens of a text: ids, type ids if the tokenizer has them, and the number of tokens that attention ignores.
Row = tuple[list[int], list[int] | None, int]


def padded(
    tokenizer: _core.Tokenizer, rows: list[Row], *, width: int = 0, left: bool | None = None
) -> dict[str, NDArray[np.int64]]:
    """Pad the tokens of texts to the longest, or to `width`, on the left, the right, or the tokenizer's own side."""
    width = max([width, *(len(ids) for ids, _, _ in rows)])
    left = tokenizer.pad_left if left is None else left

    def matrix(values: list[list[int]], filler: int) -> NDArray[np.int64]:
        array = np.full((len(values), width), filler, dtype=np.int64)
        for row, value in zip(array, values, strict=True):
            row[width - len(value) if left else 0 :][: len(value)] = value
        return array

    tokens = {
        "input_ids": matrix([ids for ids, _, _ in rows], tokenizer.pad_id or 0),
        "attention_mask": matrix([[1] * (len(ids) - unattended) for ids, _, unattended in rows], 0),
    }
    if tokenizer.has_token_type_ids:
        tokens["token_type_ids"] = matrix([types or [] for _, types, _ in rows], 0)
    return tokens


def token_ids(values: Any) -> list[int]:
    """Check token ids and return them as 32-bit ints."""
    try:
        ids = [operator.index(value) for value in values]
    except TypeError:
        ids = [-1]
    if not all(0 <= i < 2**32 for i in ids):
        raise InvalidArgumentError(f"ids: must be token ids, from 0 up, got {values!r}")
    return ids
