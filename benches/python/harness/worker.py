"""A contender in a process of its own: `worker.py PEER MODEL THREADS [KEY=VALUE ...]`.

It reads commands as lines of JSON and answers each with one; only the work itself is on the clock.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])  # in place of this folder, whose files are named like packages


def main() -> None:
    """Load the contender, then obey until there are no more commands."""
    # Output of libraries must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    name, model, threads, *words = sys.argv[1:]
    peer = importlib.import_module(f"harness.peers.{name}")
    encode = peer.load(model, threads, **dict(word.split("=", 1) for word in words))
    print(json.dumps({"versions": versions(peer.PACKAGES)}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line), encode)), file=answers, flush=True)


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the packages that there are."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def obey(command: dict[str, Any], encode: Any) -> dict[str, Any]:
    """Do what a command says."""
    what, texts = command["do"], command.get("texts", [])
    if what == "encode":  # all texts in one call
        return {"seconds": clocked(encode, texts)}
    if what == "query":  # one text at a time
        return {"seconds": [clocked(encode, [text]) for text in texts]}
    if what == "embed":
        return {"embeddings": [[float(x) for x in row] for row in encode(texts)]}
    return memory()


def clocked(encode: Any, texts: list[str]) -> float:
    """Return how many seconds a call takes."""
    begin = time.perf_counter()
    encode(texts)
    return time.perf_counter() - begin


def memory() -> dict[str, int]:
    """Return the memory of this process in KiB: now, the most there ever was, and what files now is mapped."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"now": "VmRSS", "peak": "VmHWM", "of_files": "RssFile"}
    return {key: int(status[name].split()[0]) for key, name in names.items()}


if __name__ == "__main__":
    main()
