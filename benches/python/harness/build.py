"""The programs written in Rust that the benches run."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

from harness import paths


@functools.cache
def bench(name: str) -> Path:
    """Build a bench of Cargo.toml, and return its program."""
    return _program(name, "bench", "--no-run", "--bench", name)


@functools.cache
def peak() -> Path:
    """Build the measurement of the processor's peak, and return its program."""
    return _program("peak", "build", "--release", "--package", "rushlight-peak")


def _program(name: str, *arguments: str) -> Path:
    command = ["cargo", *arguments, "--locked", "--quiet", "--message-format=json"]
    output = subprocess.run(command, cwd=paths.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = map(json.loads, output.splitlines())
    programs = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == name]
    return Path(programs[-1])
