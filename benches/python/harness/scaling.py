"""Speed-up by more threads."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from harness import rounds, session, throughput
from harness.contenders import OURS, Peak, Worker
from harness.cost import Cost
from harness.workloads import Writer, slices

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = 8


def measure(model: str, counts: Sequence[int], least_rounds: int) -> dict[str, Any]:
    """Measure ours on *mixed*, by turns with each number of threads, against the peak of all of them."""
    from rushlight import Model

    folder = session.model_folder(model)
    ours = Model(folder)
    texts = Writer(folder, ours.count_tokens).workloads()["mixed"]
    lengths = ours.count_tokens(texts)
    parts = slices(lengths, PARTS)
    (contender,) = session.chosen([OURS])
    with ExitStack() as stack:
        names = {threads: OURS if threads == counts[0] else f"{OURS}, {threads} threads" for threads in counts}
        workers = [stack.enter_context(Worker(contender, folder, n, name=name)) for n, name in names.items()]
        peaks = {threads: stack.enter_context(Peak(threads)) for threads in counts}
        turns = rounds.take_turns(
            workers,
            peaks[max(counts)],
            PARTS,
            max(least_rounds, PARTS),
            lambda worker, part: worker.encode([texts[place] for place in parts[part]]),
        )
        limits = {threads: peak.gflops(1.0) for threads, peak in peaks.items()}
    sizes = [[lengths[place] for place in part] for part in parts]
    figures = {}
    for threads, name in names.items():
        faster = [1 / ratio for ratio in rounds.ratios(turns, name, OURS)]
        figures[str(threads)] = {
            "times_as_fast": rounds.summary(faster),
            "peak_times_as_fast": limits[threads] / limits[counts[0]],
            **throughput.summary(turns, name, sizes, Cost.of(folder)),
        }
        print(f"{threads} thread(s): {rounds.summary(faster)['median']:.2f} times as fast as {counts[0]}")
    return {"contenders": {OURS: {"versions": workers[0].versions}}, "figures": figures}
