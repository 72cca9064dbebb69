"""Measuring by turns: what disturbs the machine for a while disturbs all of them alike."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.contenders import Peak, Worker


@dataclass(frozen=True)
class Turn:
    """One contender's turn in one round."""

    name: str
    round: int
    part: int
    """Part of the workload."""
    seconds: float
    peak: float
    """Gflop/s: the mean of what was measured just before and just after."""


def take_turns(
    workers: Sequence[Worker], peak: Peak, parts: int, rounds: int, work: Callable[[Worker, int], float]
) -> list[Turn]:
    """Let all work on the same part in each round, one after the other, with the peak between them.

    Parameters
    ----------
    parts
        How many parts the workload has; each round takes the next.
    work
        Does one part, and returns how many seconds it took.
    """
    for worker in workers:  # what only happens once must not be in the first round
        work(worker, 0)
    turns = []
    before = peak.gflops()
    for number in range(rounds):
        part = number % parts
        for worker in workers:
            seconds = work(worker, part)
            after = peak.gflops()
            turns.append(Turn(worker.name, number, part, seconds, (before + after) / 2))
            before = after
    return turns


def of(turns: Sequence[Turn], name: str) -> list[Turn]:
    """Return one contender's turns, by rounds."""
    return [turn for turn in turns if turn.name == name]


def ratios(turns: Sequence[Turn], slow: str, fast: str) -> list[float]:
    """Return how many times as long one took as the other, round by round."""
    return [a.seconds / b.seconds for a, b in zip(of(turns, slow), of(turns, fast), strict=True)]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return the median, with the smallest and the largest."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
