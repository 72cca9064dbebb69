"""A pool against a single call, by turns, and what a call holds by the length of its texts.

.venv/bin/python benches/python/pools.py .models/all-MiniLM-L6-v2
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import rushlight
from rushlight import Model

TURNS = 7
# Words of a text; about as many tokens, and two more.
LENGTHS = (6, 30, 126, 254)
TEXTS = 4000


def text(words: int, i: int) -> str:
    """Return the i-th text of so many words."""
    return " ".join(
        ["lamp", "room", "street", "light", "town"][(i + j) % 5] + ("s" if i % 3 else "") for j in range(words)
    )


def turns(model: Model) -> None:
    """Print how long each way takes, beside a single call."""
    texts = [f"{text(1 + (i * 7) % 60, i)} {i}" for i in range(600)]
    single = model.encode(texts)
    ways = {
        "single": lambda: model.encode(texts),
        "a pool of 1": lambda: model.encode(texts, device=["cpu"]),
        "a pool of 2": lambda: model.encode(texts, device=["cpu", "cpu"]),
        "encode_iter": lambda: np.concatenate(list(model.encode_iter(texts, chunk_size=200))),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            began = time.perf_counter()
            got = way()
            seconds[name].append(time.perf_counter() - began)
            if not (got == single).all():
                raise SystemExit(f"{name}: other bits than a single call's")
    for name, took in seconds.items():
        ratios = [own / one for own, one in zip(took, seconds["single"], strict=True)]
        ratio, milliseconds = statistics.median(ratios), 1000 * statistics.median(took)
        print(f"{name:12} {milliseconds:7.0f} ms, {ratio:.2f} times a single call's time")


def held(folder: str, words: int) -> None:
    """Print what a call holds beside inputs and result."""

    def status(key: str) -> int:
        return int(re.findall(key + r":\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))[0]) << 10

    model = Model(folder, device="cpu")
    texts = [text(words, i) for i in range(TEXTS)]
    model.encode(texts[:64])
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = status("VmRSS")
    embeddings = model.encode(texts)
    size = (status("VmHWM") - before - embeddings.nbytes) / 2**20
    print(f"{model.count_tokens(texts[0]):4} tokens a text: {size:6.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        held(sys.argv[1], int(sys.argv[2]))
    else:
        print(f"rushlight {rushlight.__version__}, {rushlight.get_num_threads()} threads")
        turns(Model(sys.argv[1], device="cpu"))
        print(f"beside inputs and result, {TEXTS} texts:")
        for words in LENGTHS:
            subprocess.run([sys.executable, __file__, sys.argv[1], str(words)], check=True)
