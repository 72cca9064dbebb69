"""Embed the same texts again and again, for valgrind to count: `python -m harness.fixed_call MODEL CALLS`.

The difference between two numbers of calls leaves out Python's start and loading the model.
"""

from __future__ import annotations

import sys

import numpy as np

from rushlight import Model

# Few, since valgrind is slow.
TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "A river that nobody had named ran past the mill, and whoever lived there counted years by its floods.",
]
# Cosines of the first text with the next two, by sentence-transformers and all-MiniLM-L6-v2.
COSINES = [0.665955, 0.104584]


def main() -> None:
    """Call so many times, and check the last result."""
    folder, calls = sys.argv[1:]
    model = Model(folder)
    for _ in range(int(calls)):
        embeddings = model.encode(TEXTS)
    cosines = embeddings[1:3] @ embeddings[0]
    if np.abs(cosines - COSINES).max() > 1e-5:
        sys.exit(f"wrong embeddings: cosines of {cosines} where {COSINES} are right")


if __name__ == "__main__":
    main()
