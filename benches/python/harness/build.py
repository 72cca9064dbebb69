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
    command = ["cargo", "bench", "--locked", "--no-run", "--quiet", "--message-format=json", "--bench", name]
    output = subprocess.run(command, cwd=paths.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = map(json.loads, output.splitlines())
    programs = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == name]
    return Path(programs[-1])
