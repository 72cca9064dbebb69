"""Helpers of the engines' tests: texts in files, a worker that is killed, and results that are compared."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from checks import FOLDER

from rushlight import Model

# `RUSHLIGHT_TEST_TEXTS=100000 make test-integrations` for the full number.
COUNT = int(os.environ.get("RUSHLIGHT_TEST_TEXTS", "8000"))
TEXTS = [f"lamp number {i} of the {['old', 'new', 'small'][i % 3]} {'harbour ' * (i % 7 * 20)}" for i in range(COUNT)]


def written(folder: Path, files: int = 8) -> list[str]:
    """Write the texts into parquet files."""
    pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    folder.mkdir()
    ends = [COUNT * i // files for i in range(files + 1)]
    for i, (start, end) in enumerate(pairwise(ends)):
        table = pa.table({"id": range(start, end), "text": TEXTS[start:end]})
        pa.parquet.write_table(table, folder / f"{i}.parquet", row_group_size=500)
    return sorted(map(str, folder.glob("*.parquet")))


def read(folder: Path):
    """Return all rows of the parquet files of a folder, by their ids."""
    pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    tables = [pa.parquet.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    return pa.concat_tables(tables).sort_by("id")


def same(table, **options) -> None:
    """Check that every row is there once, with the bits of a local call."""
    assert table["id"].to_pylist() == list(range(COUNT))
    rows = np.stack(table["embedding"].combine_chunks().to_numpy(zero_copy_only=False))
    assert np.array_equal(rows, Model(FOLDER).encode(TEXTS, **options))


# In the environment of all processes that these tests start, so that no other one is killed.
RUN = os.environ.setdefault("RUSHLIGHT_TEST_RUN", uuid.uuid4().hex)


def begun(folder: Path) -> bool:
    """Return True if some of the files that make up an output are finished, and others are not begun."""
    return sum(1 for _ in folder.rglob("*.parquet")) > 2


def workers(words: tuple[str, ...]) -> list[int]:
    """Return the processes of these tests of which all these words stand in the command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            started = path.with_name("environ").read_bytes()
        except OSError:
            continue
        if RUN.encode() in started and all(word in command for word in words):
            found.append(int(path.parent.name))
    return found


class Killer:
    """Thread that kills one worker, `wait` seconds after `ready` is true."""

    def __init__(self, words: tuple[str, ...], ready, wait: float = 0.5) -> None:
        self._words, self._ready, self._wait = words, ready, wait
        self.killed: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            time.sleep(0.05)
            mine = [pid for pid in workers(self._words) if pid != os.getpid()]
            if mine and self._ready():
                time.sleep(self._wait)  # it is at work now
                os.kill(mine[-1], signal.SIGKILL)
                self.killed = mine[-1]
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()
