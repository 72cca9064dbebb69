"""Memory of a process after loading and one query, and its peak while it embeds a corpus."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from harness import contenders, session
from harness.contenders import Worker
from harness.workloads import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMPY = "import numpy; print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"


def measure(model: str, names: Sequence[str], threads: int) -> dict[str, Any]:
    """Measure resident memory, in MB of 10⁶ bytes, of a process of its own for each contender that is right."""
    from rushlight import Model

    folder = session.model_folder(model)
    texts = Writer(folder, Model(folder).count_tokens).workloads()["mixed"]
    with session.checked(names, folder, threads) as (workers, reports):
        right = [worker.name for worker in workers]
    environment = {**os.environ, **contenders.environment(folder, threads)}
    numpy = subprocess.run([sys.executable, "-c", _NUMPY], env=environment, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = {"import numpy": {"after_one_query": _mb(int(numpy.stdout))}}
    for contender in session.chosen(right):
        if not contender.peer:
            continue
        with Worker(contender, folder, threads) as worker:
            worker.query(["How much memory does it take?"])
            loaded = worker.memory()
            worker.encode(texts)
            peak = worker.memory()["peak"]
        figures[contender.name] = {
            "after_one_query": _mb(loaded["now"]),
            "of_it_mapped_files": _mb(loaded["of_files"]),
            "peak_until_then": _mb(loaded["peak"]),
            "peak_over_mixed": _mb(peak),
        }
    for name, row in figures.items():
        print(f"{name:26} " + ", ".join(f"{what.replace('_', ' ')} {mb:.0f} MB" for what, mb in row.items()))
    return {"contenders": reports, "figures": figures}


def _mb(kib: int) -> float:
    return kib * 1024 / 1e6
