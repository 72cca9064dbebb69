"""Description of the machine and the versions of a measurement."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any


def describe(threads: int) -> dict[str, Any]:
    """Return the processor, the system, and how rushlight uses them."""
    import rushlight

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "rushlight": importlib.metadata.version("rushlight"),
        "commit": _commit(),
        "info": {key: value for key, value in rushlight.info().items() if not isinstance(value, Path)},
        "threads": threads,
    }


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^(model name|cpu family|model|stepping)\s*: (.*)$", text, re.MULTILINE))
    if "model name" not in fields:
        return platform.machine()
    # A virtual machine may hide the name, but not the numbers.
    return "{model name}, family {cpu family}, model {model}, stepping {stepping}".format(**fields)


def _caches() -> list[str]:
    folders = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    parts = [[(folder / name).read_text().strip() for name in ("level", "type", "size")] for folder in folders]
    return [f"L{level} {kind.lower()} {size}" for level, kind, size in parts]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    result = subprocess.run(command, cwd=Path(__file__).parent, check=False, capture_output=True, text=True)
    return result.stdout.strip() or "not in a repository"
