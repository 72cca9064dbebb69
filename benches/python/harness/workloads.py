"""The texts that speed is measured on: made-up sentences of a model's own words, as long as texts in real life are."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WORKLOADS = ("short", "mixed", "long")

# Median, spread of the logarithm, least and most tokens.
_SHORT, _MIXED = (13.5, 0.38, 5, 40), (40, 0.85, 6, 256)


class Writer:
    """Writes texts of a given number of tokens, the same ones in every run.

    Parameters
    ----------
    folder
        The model, for its vocab.txt.
    count
        Counts each text's tokens, special tokens included, however many there are.
    """

    def __init__(self, folder: Path, count: Callable[[list[str]], list[int]], seed: int = 1) -> None:
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        # Whole words; those before are pieces, marks and single letters.
        self._words = [word for word in vocabulary[1996:] if word.isalpha() and word.isascii()]
        # Words that the tokenizer doesn't know: it takes several pieces for each, as for names in real texts.
        self._compounds = [a + b for a, b in zip(self._words[5000:9000], self._words[9000:13000], strict=True)]
        self._weights = [1 / (rank + 10) for rank in range(len(self._words))]
        self._count = count
        self._random = random.Random(seed)

    def workloads(self) -> dict[str, list[str]]:
        """Return the texts of all workloads."""
        lengths = {
            "short": [_length(self._random, *_SHORT) for _ in range(2000)],  # queries, titles
            "mixed": [_length(self._random, *_MIXED) for _ in range(2000)],  # a corpus
            "long": [256] * 300,  # chunks of documents
        }
        return {name: self.texts(lengths) for name, lengths in lengths.items()}

    def texts(self, lengths: Sequence[int]) -> list[str]:
        """Return a text of each length, in tokens."""
        return [self._text(tokens) for tokens in lengths]

    def _text(self, tokens: int) -> str:
        words = self._random.choices(self._words, self._weights, k=max(tokens - 3, 1))
        words = [self._varied(word) for word in words]
        # Each word's own tokens, since no token spans two of them; two special tokens and the full stop come on top.
        counts = [count - 2 for count in self._count(words)]
        while words and sum(counts) + 3 > tokens:
            words.pop()
            counts.pop()
        missing = tokens - 3 - sum(counts)
        fillers = [self._random.choice(["the", "of", "and", "a", "in"]) for _ in range(missing)]
        text = " ".join(fillers[::-1] + words) + "."
        return text[0].upper() + text[1:]

    def _varied(self, word: str) -> str:
        chance = self._random.random()
        if chance < 0.04:
            return self._random.choice(self._compounds)
        if chance < 0.10:
            return word + ","
        if chance < 0.13:
            return str(self._random.randrange(3000))
        return word.capitalize() if chance < 0.18 else word


def lengths_of_mixed(count: int, seed: int = 1) -> list[int]:
    """Return the lengths in tokens of texts that are distributed like those of *mixed*."""
    numbers = random.Random(seed)
    return [_length(numbers, *_MIXED) for _ in range(count)]


def _length(numbers: random.Random, median: float, spread: float, least: int, most: int) -> int:
    length = round(median * math.exp(numbers.gauss(0, spread)))
    return min(max(length, least), most)


def slices(lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Cut a workload into parts that have its distribution of lengths: the places of the texts of each.

    The texts are dealt out by length. Within a part they stand in the workload's order, so that whoever wins by sorting
    still has to sort.
    """
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [sorted(by_length[part::parts]) for part in range(parts)]
