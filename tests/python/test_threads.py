"""One model in many threads, and models that come and go."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cases import tiny

from rushlight import Model

FOLDER = tiny("bert-mean-normalize").model
TASKS = Path("/proc/self/task")
TEXTS = [f"text {i % 29} of {i}" for i in range(300)]


def test_sixteen_threads_get_the_bits_of_one(model: Model) -> None:
    expected = model.encode(TEXTS)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: model.encode(TEXTS), range(64)))
    assert all(np.array_equal(result, expected) for result in results)


def test_idle_models_use_no_time(model: Model) -> None:
    model.encode(TEXTS)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


@pytest.mark.skipif(not TASKS.is_dir(), reason="has no list of its threads")
def test_no_thread_outlives_its_call(model: Model) -> None:
    before = {task.name for task in TASKS.iterdir()}
    model.encode(TEXTS)
    # The system takes a moment to end a thread whose work is done.
    end = time.monotonic() + 10
    while not (left := {task.name for task in TASKS.iterdir()}) <= before and time.monotonic() < end:
        time.sleep(0.01)
    assert left <= before


def test_loading_and_dropping_leaks_nothing() -> None:
    pytest.importorskip("resource")
    program = f"""
import resource
from rushlight import Model
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def loads(n):
    for i in range(n):
        with Model({str(FOLDER)!r}) as model:
            model.encode(["text"])
loads(20)
before = peak()
loads(100)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    # Leaking 100 models of 150 kB would be 15 MB. It is KiB, on macOS bytes.
    assert int(done.stdout) < 4_000 * (1024 if sys.platform == "darwin" else 1), done
