"""Growth of the cost with the length of texts, their number in a call, and the model."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from harness import session
from harness.contenders import OURS, Peak, Worker
from harness.cost import Cost
from harness.workloads import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTHS = (8, 16, 32, 64, 128, 256, 512)


def measure(models: Sequence[str], threads: int, least_rounds: int, flops: float, most_texts: int) -> dict[str, Any]:
    """Measure ours over lengths and numbers of texts.

    Parameters
    ----------
    flops
        How many operations a call has at least where the length is what changes: the number of texts follows.
    most_texts
        How many texts a call has at most where their number is what changes: it is 1, 2, 4, … of them.
    """
    result: dict[str, Any] = {"models": {}}
    numbers_of_texts = [2**exponent for exponent in range(most_texts.bit_length())]
    for model in models:
        from rushlight import Model

        folder = session.model_folder(model)
        count, cost = Model(folder).count_tokens, Cost.of(folder)
        writer = Writer(folder, count)
        mixed = writer.workloads()["mixed"]
        by_length = [_texts(writer, length, cost, flops) for length in LENGTHS]
        # Calls of few texts take the first ones: their lengths are as mixed as the others'.
        # All different, since equal texts are computed once.
        while len(mixed) < max(numbers_of_texts):
            mixed += writer.texts(count(mixed[:2000]))
        by_number = [mixed[:number] for number in numbers_of_texts]
        (contender,) = session.chosen([OURS])
        extra = ["max_seq_length=512"]
        with Worker(contender, folder, threads, extra) as worker, Peak(threads) as peak:
            lengths, numbers = (
                [_points(worker, peak, texts, count(texts), cost, least_rounds) for texts in series]
                for series in (by_length, by_number)
            )
        result["models"][model] = {"bytes_of_weights": 4 * cost.parameters, "lengths": lengths, "numbers": numbers}
        for name, points in (("length", lengths), ("texts", numbers)):
            for point in points:
                print(
                    f"{model} {name} {point[name]:5.0f}: {point['tokens_per_second']:8.0f} tokens/s,"
                    f" {point['share_of_peak']:.1%} of the peak"
                )
    return result


def _texts(writer: Writer, length: int, cost: Cost, flops: float) -> list[str]:
    return writer.texts([length] * max(8, round(flops / cost.flops([length]))))


def _points(
    worker: Worker, peak: Peak, texts: list[str], lengths: Sequence[int], cost: Cost, times: int
) -> dict[str, float]:
    """Measure one kind of call, several times, with the peak after each."""
    worker.encode(texts)
    seconds, peaks = [], []
    for _ in range(times):
        seconds.append(worker.encode(texts))
        peaks.append(peak.gflops(0.05))
    flops, tokens = cost.flops(lengths), sum(lengths)
    shares = [flops / s / 1e9 / p for s, p in zip(seconds, peaks, strict=True)]
    return {
        "length": tokens / len(texts),
        "texts": len(texts),
        "flops": flops,
        "tokens_per_second": tokens / statistics.median(seconds),
        "limit_of_tokens_per_second": tokens / (flops / statistics.median(peaks) / 1e9),
        "share_of_peak": statistics.median(shares),
        "peak_gflops": statistics.median(peaks),
    }
