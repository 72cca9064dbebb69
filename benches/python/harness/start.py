"""From the start of a process to its first embedding."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from harness import contenders, rounds, session
from harness.contenders import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Not contenders, but what any Python process, and any with numpy, takes.
BASELINES = {"python": "print('embedded', flush=True)", "import numpy": "import numpy; print('embedded', flush=True)"}


def measure(model: str, names: Sequence[str], threads: int, times: int) -> dict[str, Any]:
    """Start each contender's process by turns; what the first turn writes is in the system's cache afterwards."""
    folder = session.model_folder(model)
    with session.checked(names, folder, threads) as (workers, reports):
        right = [worker.name for worker in workers]
    commands = {name: [sys.executable, "-c", code] for name, code in BASELINES.items()}
    for contender in session.chosen(right):
        if contender.peer:
            commands[contender.name] = contender.command("first_embedding.py", folder, threads)
    environment = {**os.environ, **contenders.environment(folder, threads)}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(times + 1):
        for name, command in commands.items():
            taken = _until_embedded(command, environment)
            if turn:
                seconds[name].append(taken)
    numpy = statistics.median(seconds["import numpy"])
    figures = {
        name: {
            "milliseconds": 1e3 * statistics.median(own),
            "above_numpy": 1e3 * (statistics.median(own) - numpy),
            "times_of_ours": rounds.summary([a / b for a, b in zip(own, seconds[OURS], strict=True)]),
            "rounds": own,
        }
        for name, own in seconds.items()
    }
    for name, row in figures.items():
        print(f"{name:26} {row['milliseconds']:7.0f} ms, {row['above_numpy']:7.0f} above numpy")
    return {"contenders": reports, "times": times, "figures": figures}


def _until_embedded(command: Sequence[str], environment: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while line := process.stdout.readline():
            if line == b"embedded\n":
                seconds = time.perf_counter() - begin
                process.kill()  # how long it takes to end is nobody's matter
                return seconds
    raise RuntimeError(f"ended without an embedding: {' '.join(command)}")
