"""The tokenizer of a model, for looking at."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from rushlight import _arguments
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rushlight import _core


class Tokenizer:
    """Token ids of texts, and texts of token ids; `Model.tokenizer` is one."""

    def __init__(self, core: _core.Model) -> None:
        self._core = core

    @property
    def vocab_size(self) -> int:
        """How many tokens the vocabulary has, without added ones."""
        return self._core.tokenizer_info()[0]

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, special tokens included, truncated to the model's `max_seq_length`."""
        return self._core.tokenize([_arguments.text("text", text, InvalidInputError)])[0][0]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of token ids, which is not always the one they came from."""
        return self._core.decode(_ids(ids), bool(skip_special_tokens))

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size})"


def _ids(values: Any) -> list[int]:
    """Return token ids as ints of 32 bits."""
    try:
        ids = [operator.index(value) for value in values]
    except TypeError:
        ids = [-1]
    if not all(0 <= i < 2**32 for i in ids):
        raise InvalidArgumentError(f"ids: must be token ids, from 0 up, got {values!r}")
    return ids
