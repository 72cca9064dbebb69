"""Search a million embeddings of 384 for 100 queries, beside reading them once: the share of the memory's bandwidth.

.venv/bin/python benches/python/search.py
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from rushlight import get_num_threads, util

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, WIDTH, REPEATS = 1_000_000, 384, 3


def best_of(work: Callable[[], object]) -> float:
    """Return the shortest of some runs in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print a line for each number of queries."""
    corpus = np.random.default_rng(0).standard_normal((ROWS, WIDTH), dtype=np.float32)
    size = corpus.nbytes / 1e9
    read = size / best_of(lambda: corpus.view(np.uint64).max())
    print(f"{ROWS} x {WIDTH} float32, {size:.2f} GB; numpy reads them on one thread at {read:.1f} GB/s")
    for queries in (1, 10, 100):
        for name in ("dot", "cos_sim"):
            seconds = best_of(lambda q=queries, n=name: util.semantic_search(corpus[:q], corpus, score_function=n))
            rate = size / seconds
            flops = 2e-9 * queries * corpus.size / seconds
            print(
                f"{name:8} {queries:4} queries, {get_num_threads()} threads: {seconds:.3f} s, {rate:.2f} GB/s "
                f"({rate / read:.0%} of the read), {flops:.0f} GFLOP/s"
            )


if __name__ == "__main__":
    main()
