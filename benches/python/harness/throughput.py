"""Texts a second, and the share of the processor's peak."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from harness import rounds, session
from harness.contenders import OURS, Peak
from harness.cost import Cost
from harness.workloads import Writer, slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.contenders import Worker
    from harness.rounds import Turn


def measure(
    model: str, names: Sequence[str], workloads: Sequence[str], threads: int, least_rounds: int, seconds: float
) -> dict[str, Any]:
    """Measure all contenders on workloads.

    Parameters
    ----------
    seconds
        How long ours should take for one part of a workload.
    """
    from rushlight import Model

    folder = session.model_folder(model)
    ours = Model(folder)
    texts = Writer(folder, ours.count_tokens).workloads()
    cost = Cost.of(folder)
    result: dict[str, Any] = {"workloads": {}}
    with session.checked(names, folder, threads) as (workers, reports), Peak(threads) as peak:
        result["contenders"] = reports
        for workload in workloads:
            lengths = ours.count_tokens(texts[workload])
            parts = _parts(workers, texts[workload], lengths, seconds)
            chunks = [[texts[workload][place] for place in part] for part in parts]
            turns = rounds.take_turns(
                workers, peak, len(parts), max(least_rounds, len(parts)), lambda w, part, c=chunks: w.encode(c[part])
            )
            sizes = [[lengths[place] for place in part] for part in parts]
            result["workloads"][workload] = {
                "texts": len(lengths),
                "tokens": sum(lengths),
                "parts": len(parts),
                "bytes_of_weights": 4 * cost.parameters,
                "contenders": {worker.name: summary(turns, worker.name, sizes, cost) for worker in workers},
            }
            _print(workload, result["workloads"][workload]["contenders"])
    return result


def _parts(workers: Sequence[Worker], texts: list[str], lengths: list[int], seconds: float) -> list[list[int]]:
    """Cut a workload into parts that take ours about so long."""
    sample = slices(lengths, 8)[3]
    (ours,) = (worker for worker in workers if worker.name == OURS)
    ours.encode([texts[place] for place in sample])
    whole = ours.encode([texts[place] for place in sample]) * 8
    return slices(lengths, max(1, math.ceil(whole / seconds)))


def summary(turns: Sequence[Turn], name: str, sizes: list[list[int]], cost: Cost) -> dict[str, Any]:
    """Return one contender's figures; `sizes` are the lengths of each part's texts, in tokens."""
    own = rounds.of(turns, name)
    rates = [cost.flops(sizes[turn.part]) / turn.seconds / 1e9 for turn in own]
    return {
        "texts_per_second": statistics.median(len(sizes[turn.part]) / turn.seconds for turn in own),
        "tokens_per_second": statistics.median(sum(sizes[turn.part]) / turn.seconds for turn in own),
        "gflops": statistics.median(rates),
        "peak_gflops": statistics.median(turn.peak for turn in own),
        "share_of_peak": rounds.summary([rate / turn.peak for rate, turn in zip(rates, own, strict=True)]),
        "flops_per_call": statistics.median(cost.flops(sizes[turn.part]) for turn in own),
        "times_of_ours": rounds.summary(rounds.ratios(turns, name, OURS)),
        "seconds": [turn.seconds for turn in own],
        "peaks": [turn.peak for turn in own],
    }


def _print(workload: str, figures: dict[str, Any]) -> None:
    print(f"\n{workload:28} texts/s  tokens/s  of peak  time of ours (least, most)")
    for name, row in figures.items():
        share, times = row["share_of_peak"]["median"], row["times_of_ours"]
        print(
            f"  {name:26} {row['texts_per_second']:7.0f}  {row['tokens_per_second']:8.0f}  {share:7.1%}"
            f"  {times['median']:5.2f} ({times['least']:.2f}, {times['most']:.2f})"
        )
