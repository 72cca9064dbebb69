"""All that callers do, at once and at random, for minutes: threads, pools, streams, tasks, forks, interrupts, a server.

Every answer is compared with the bits that a quiet model gave. It ends with an error where an answer differs, where
something raises what it shouldn't, where nothing happens for a minute, or where memory or open files grow. `make soak`
runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import faulthandler
import os
import pickle
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from soak_server import Clients

import rushlight
from rushlight import Model
from rushlight.exceptions import InvalidInputError

WORDS = ["the", "a", "lamp", "lights", "rooms", "streets", "towns", "and", "of", "in", "is", "was", "not", "for", "by"]
# Nothing may take longer than that.
PATIENCE = 60
# What the allocator may keep of one minute in the next ones, in bytes.
GROWTH = 64 << 20
# Open files that clients and pools may have more at one time than at another.
FILES = 200


class Soak:
    def __init__(self, folder: Path, seed: int, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        rng = random.Random(seed)
        lengths = [rng.choice([1, 3, 10, 30, 100]) for _ in range(2000)]
        self.texts = [" ".join(rng.choices(WORDS, k=length)) for length in lengths]
        self.model = Model(folder, device="cpu")
        self.want = self.model.encode(self.texts)
        self.clients = Clients(folder, self.some, self.want)
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    def some(self, rng: random.Random) -> tuple[list[int], list[str]]:
        chosen = rng.sample(range(len(self.texts)), rng.choice([1, 2, 10, 100, 1000]))
        return chosen, [self.texts[i] for i in chosen]

    def check(self, chosen: list[int], got: np.ndarray) -> None:
        assert (got == self.want[chosen]).all(), "other bits"

    # What a caller does

    def encode(self, rng: random.Random) -> None:
        chosen, texts = self.some(rng)
        self.check(chosen, self.model.encode(texts))

    def pool(self, rng: random.Random) -> None:
        chosen, texts = self.some(rng)
        with self.model.start_multi_process_pool(["cpu"] * rng.randint(1, 4)) as pool:
            self.check(chosen, self.model.encode(texts, pool=pool, chunk_size=rng.choice([None, 1, 7, 100])))

    def stream(self, rng: random.Random) -> None:
        chosen, texts = self.some(rng)
        arrays = self.model.encode_iter(iter(texts), chunk_size=rng.choice([3, 50, 1000]))
        # Half of them are left behind in the middle.
        got = list(arrays if rng.random() < 0.5 else islice(arrays, 2))
        rows = np.concatenate(got)
        self.check(chosen[: len(rows)], rows)

    def into(self, rng: random.Random) -> None:
        chosen, texts = self.some(rng)
        out = np.empty((len(texts), self.want.shape[1]), np.float32)
        self.check(chosen, self.model.encode(texts, out=out))

    def tasks(self, rng: random.Random) -> None:
        calls = [self.some(rng) for _ in range(4)]

        async def run() -> None:
            tasks = [asyncio.ensure_future(self.model.encode_async(texts)) for _, texts in calls]
            await asyncio.sleep(rng.random() / 100)
            tasks[0].cancel()
            for (chosen, _), got in zip(calls, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
                if not isinstance(got, asyncio.CancelledError):
                    self.check(chosen, got)

        asyncio.run(run())

    def another(self, rng: random.Random) -> None:
        chosen, texts = self.some(rng)
        make = rng.choice([copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
        with make(self.model) as model:
            self.check(chosen, model.encode(texts))

    def bad(self, rng: random.Random) -> None:
        _, texts = self.some(rng)
        at = rng.randrange(len(texts) + 1)
        with pytest.raises(InvalidInputError, match=rf"inputs\[{at}\]"):
            self.model.encode([*texts[:at], 5, *texts[at:]], device=rng.choice([None, ["cpu", "cpu"]]))

    def limit(self, rng: random.Random) -> None:
        rushlight.set_num_threads(rng.randint(1, 4))

    def request(self, rng: random.Random) -> None:
        rng.choice([self.clients.ask, self.clients.ask, self.clients.mislead, self.clients.leave])(rng)

    # Those that are for the main thread

    def fork(self, rng: random.Random) -> None:
        chosen, texts = self.some(rng)
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE)
            os._exit(0 if (self.model.encode(texts) == self.want[chosen]).all() else 1)
        assert os.waitpid(child, 0)[1] == 0, "the child of a fork failed"

    def interrupt(self, rng: random.Random) -> None:
        began = time.monotonic()
        try:
            threading.Timer(rng.random() / 2, signal.raise_signal, [signal.SIGINT]).start()
            while time.monotonic() - began < PATIENCE:
                self.model.encode(self.texts)
        except KeyboardInterrupt:
            return
        raise AssertionError("no interrupt came through")

    def go_on(self, name: str, rng: random.Random) -> None:
        try:
            getattr(self, name)(rng)
            self.done[name] += 1
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is reported
            self.failures.append(f"{name}: {error!r}")

    def caller(self, seed: int) -> None:
        rng = random.Random(seed)
        names = ["encode", "pool", "stream", "into", "tasks", "another", "bad", "limit", "request", "request"]
        while time.monotonic() < self.end and not self.failures:
            self.go_on(rng.choice(names), rng)

    def main(self, rng: random.Random) -> None:
        while time.monotonic() < self.end and not self.failures:
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            self.go_on(rng.choice(["fork", "interrupt", "encode"]), rng)


def resident() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) << 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the model's folder")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--callers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.callers} callers, {given.minutes} minutes", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    soak = Soak(given.model, given.seed, given.minutes * 60)
    memory: list[int] = []
    files: list[int] = []
    callers = [
        threading.Thread(target=soak.caller, args=(given.seed + i,), daemon=True) for i in range(1, given.callers + 1)
    ]
    watch = threading.Thread(target=lambda: watcher(soak, memory, files), daemon=True)
    for thread in [*callers, watch]:
        thread.start()
    soak.main(random.Random(given.seed))
    for thread in callers:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        thread.join()
    faulthandler.cancel_dump_traceback_later()
    soak.failures += soak.clients.finish()
    print(dict(soak.done), "resident MB:", [size >> 20 for size in memory], "open files:", files)
    if len(memory) > 3 and memory[-1] > memory[len(memory) // 3] + GROWTH:
        soak.failures.append(f"memory grows: {[size >> 20 for size in memory]} MB")
    if len(files) > 3 and files[-1] > files[len(files) // 3] + FILES:
        soak.failures.append(f"open files grow: {files}")
    print("\n".join(soak.failures) or "all well")
    return bool(soak.failures)


def watcher(soak: Soak, memory: list[int], files: list[int]) -> None:
    """Note the memory and the open files every twentieth of the time."""
    pause = (soak.end - time.monotonic()) / 20
    while time.monotonic() < soak.end:
        time.sleep(pause)
        memory.append(resident())
        files.append(len(list(Path("/proc/self/fd").iterdir())))


if __name__ == "__main__":
    sys.exit(main())
