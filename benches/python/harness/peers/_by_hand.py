"""Steps around a bare graph: tokenize, sort, make batches, pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BATCH = 8
"""Texts of a batch: small ones of sorted texts are the quickest on a processor, and hardly padded."""


class Tokens:
    """The tokenizer of a model's folder."""

    def __init__(self, model: str) -> None:
        self._tokenizer = Tokenizer.from_file(str(Path(model, "tokenizer.json")))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(256)

    def batches(self, texts: list[str]) -> Iterator[tuple[NDArray[np.intp], dict[str, NDArray[np.int64]]]]:
        """Yield the places of a batch's texts, and what the graph takes for them; the longest texts first."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]
        order = np.argsort([-len(row) for row in ids], kind="stable")
        for first in range(0, len(order), BATCH):
            places = order[first : first + BATCH]
            rows = [ids[place] for place in places]
            inputs = np.zeros((len(rows), len(rows[0])), dtype=np.int64)
            mask = np.zeros_like(inputs)
            for i, row in enumerate(rows):
                inputs[i, : len(row)] = row
                mask[i, : len(row)] = 1
            yield places, {"input_ids": inputs, "attention_mask": mask, "token_type_ids": np.zeros_like(inputs)}


def pooled(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the normalized means of the texts' tokens."""
    weights = mask.astype(np.float32)
    sums = np.matmul(weights[:, None, :], tokens)[:, 0]
    means = sums / weights.sum(axis=1, keepdims=True)
    unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit
