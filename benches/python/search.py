"""Search a million embeddings of 384, of all bits and of fewer, beside reading them once: the share of the bandwidth.

.venv/bin/python benches/python/search.py
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import get_num_threads, util

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, WIDTH = 1_000_000, 384
# At least so many runs, and at least so many seconds of them.
RUNS, SECONDS = 3, 2.0


def best_of(work: Callable[[], object]) -> float:
    """Return the shortest of some runs in seconds."""
    times: list[float] = []
    while len(times) < RUNS or sum(times) < SECONDS:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print a line for each precision, score and number of queries."""
    corpus = np.random.default_rng(0).standard_normal((ROWS, WIDTH), dtype=np.float32)
    read = corpus.nbytes / 1e9 / best_of(lambda: corpus.view(np.uint64).max())
    print(f"{ROWS} x {WIDTH}, {get_num_threads()} threads; numpy reads float32 on one thread at {read:.1f} GB/s")
    ranges = np.stack([corpus.min(0), corpus.max(0)])
    levels, bits = (util.quantize_embeddings(corpus, precision, ranges) for precision in ("int8", "ubinary"))
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("float32, dot", corpus, {"score_function": "dot"}),
        ("float32, cos_sim", corpus, {}),
        ("int8, dot", levels, {"score_function": "dot", "corpus_precision": "int8", "ranges": ranges}),
        ("int8, cos_sim", levels, {"corpus_precision": "int8", "ranges": ranges}),
        ("ubinary", bits, {"corpus_precision": "ubinary", "rescore": False}),
        ("ubinary, rescored", bits, {"corpus_precision": "ubinary", "rescore_embeddings": corpus}),
    ]
    for queries in (1, 10, 100):
        for name, rows, options in cases:
            seconds = best_of(lambda q=queries, r=rows, o=options: util.semantic_search(corpus[:q], r, **o))
            rate = rows.nbytes / 1e9 / seconds
            print(
                f"{name:18} {queries:4} queries: {1e3 * seconds:8.1f} ms, {rate:6.2f} GB/s ({rate / read:.0%} of the "
                f"read), {1e-6 * queries * ROWS / seconds:.0f} million comparisons/s"
            )


if __name__ == "__main__":
    main()
