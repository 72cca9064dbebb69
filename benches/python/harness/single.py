"""One short query at a time: bound by reading the weights, not by computing."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from harness import rounds, session
from harness.contenders import OURS, Peak
from harness.cost import Cost
from harness.workloads import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMORY = 1024
"""MiB to read for the memory's bandwidth: more than most processors' caches."""
WARM_UP = 5
"""Queries that are not counted at the begin of a turn: they bring the weights back into the caches."""


def measure(model: str, names: Sequence[str], threads: int, least_rounds: int, queries: int) -> dict[str, Any]:
    """Measure the median time of a query, tokenizing included.

    Each query reads all weights once. They are read from memory, or from the caches where these are large enough: the
    share is given of both, the rate of reading a large buffer and that of reading one as large as the weights.
    """
    from rushlight import Model

    folder = session.model_folder(model)
    ours = Model(folder)
    texts = Writer(folder, ours.count_tokens).workloads()["short"][: queries + WARM_UP]
    lengths = ours.count_tokens(texts[WARM_UP:])
    cost = Cost.of(folder)
    size = 4 * cost.parameters
    times: dict[str, list[float]] = {}
    rates: dict[int, list[float]] = {MEMORY: [], size >> 20: []}
    with session.checked(names, folder, threads) as (workers, reports), Peak(threads) as peak:
        peaks = []
        for _ in range(least_rounds):
            for worker in workers:
                times.setdefault(worker.name, []).append(statistics.median(worker.query(texts)[WARM_UP:]))
            for mib, found in rates.items():
                found.append(peak.bandwidth(mib))
            peaks.append(peak.gflops())
    rate, cached_rate = (statistics.median(found) for found in rates.values())
    figures = {}
    for name, own in times.items():
        middle = statistics.median(own)
        figures[name] = {
            "milliseconds": 1e3 * middle,
            "share_of_memory_bandwidth": size / middle / 1e9 / rate,
            "share_of_bandwidth_at_this_size": size / middle / 1e9 / cached_rate,
            "gflops": statistics.median(cost.flops([length]) for length in lengths) / middle / 1e9,
            "times_of_ours": rounds.summary([a / b for a, b in zip(own, times[OURS], strict=True)]),
            "rounds": own,
        }
    result = {
        "contenders": reports,
        "queries": len(lengths),
        "tokens": statistics.median(lengths),
        "flops": statistics.median(cost.flops([length]) for length in lengths),
        "bytes_of_weights": size,
        "memory_bandwidth": rate,
        "bandwidth_at_this_size": cached_rate,
        "peak_gflops": statistics.median(peaks),
        "figures": figures,
    }
    for name, row in figures.items():
        print(
            f"{name:26} {row['milliseconds']:7.3f} ms, {row['share_of_memory_bandwidth']:.0%} of memory's"
            f" {rate:.1f} GB/s, {row['times_of_ours']['median']:.2f} times ours"
        )
    return result
