"""Steps of the test of a device. Each runs in a process of its own and prints its result as the last line, in JSON.

Usage: ``python steps.py STEP DEVICE [ARGUMENT]...``
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapes
from cases import TINY, tiny

import rushlight

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = Path(tempfile.gettempdir()) / "rushlight-device-models"
# Largest errors in parts of the largest number, as the crate's tests have them.
HALVES = {"float16": 0.05, "bfloat16": 0.3}
# Number of texts and of words in each.
WORKLOADS = {"short": (512, 12), "long": (64, 300)}
WORDS = ("lamp", "room", "another", "table", "window", "old", "house", "lights", "open", "near")


def machine(device: str) -> dict[str, Any]:
    """Check that the device is there and is the one that a model takes by itself."""
    info = rushlight.info()
    chosen = rushlight.Model(tiny("bert-mean-normalize").model).device
    if chosen.split(":")[0] != device.split(":", maxsplit=1)[0]:
        sys.exit(f"models compute on {chosen}, not on {device}; this build has {info['devices']}")
    return {key: str(value) for key, value in info.items()}


def halves(device: str) -> dict[str, Any]:
    """Compare half precisions with the reference, for all small models; on a CPU only those that it has."""
    errors: dict[str, float] = {}
    for dtype, most in HALVES.items():
        if device == "cpu" and dtype == "float16":
            continue
        for case in map(tiny, TINY):
            got = rushlight.Model(case.model, device=device, dtype=dtype).encode(case.texts)
            error = float(np.abs(got - case.expected).max() / np.abs(case.expected).max())
            if not error < most:
                sys.exit(f"{case.name} in {dtype}: {error:.1e} of the largest number, must be below {most}")
            errors[dtype] = max(error, errors.get(dtype, 0.0))
    return errors


def pool(device: str) -> dict[str, Any]:
    """Spread a call over two logical devices, which are one."""
    model = rushlight.Model(shapes.write("MiniLM-L6", CACHE), device=device)
    texts = workload("short")
    difference = np.abs(model.encode(texts, device=[device, device], chunk_size=64) - model.encode(texts)).max()
    if not difference <= 1e-5:
        sys.exit(f"the pool's embeddings differ by {difference:.1e}")
    return {"largest_difference": float(difference)}


def throughput(device: str, shape: str, dtype: str) -> dict[str, Any]:
    """Measure texts a second of a shape: the best of three runs after a first one."""
    model = rushlight.Model(shapes.write(shape, CACHE), device=device, dtype=dtype)
    result: dict[str, Any] = {}
    for name in WORKLOADS:
        texts = workload(name)
        model.encode(texts[: len(texts) // 4])
        seconds = min(timed(model, texts) for _ in range(3))
        result[name] = round(len(texts) / seconds, 1)
    return result


def timed(model: rushlight.Model, texts: list[str]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    model.encode(texts)
    return time.perf_counter() - start


def workload(name: str) -> list[str]:
    """Return different texts of about one length."""
    count, words = WORKLOADS[name]
    random = np.random.default_rng(1)
    return [" ".join(random.choice(WORDS, int(words * factor))) for factor in random.uniform(0.5, 1.5, count)]


STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "machine": machine,
    "halves": halves,
    "pool": pool,
    "throughput": throughput,
}

if __name__ == "__main__":
    CACHE.mkdir(exist_ok=True)
    step, *arguments = sys.argv[1:]
    print(json.dumps(STEPS[step](*arguments)))
