"""Number of multiply-adds that a text needs, whatever computes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """A transformer's size."""

    hidden: int
    layers: int
    intermediate: int

    @classmethod
    def of(cls, model: Path) -> Cost:
        """Read a model's config.json."""
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        return cls(config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"])

    @property
    def parameters(self) -> int:
        """Weights of the linear layers: queries, keys, values and output, and the feed-forward's two."""
        return self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)

    def flops(self, lengths: Sequence[int]) -> int:
        """Return the operations for texts of these lengths in tokens, without any padding.

        A token meets each weight once, and in each layer each token of its text twice, by its key and by its value; a
        multiplication and an addition each.
        """
        attention = 4 * self.hidden * self.layers
        return sum(2 * length * self.parameters + attention * length**2 for length in lengths)
