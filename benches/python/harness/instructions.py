"""Instructions of a fixed call, counted by valgrind and compared with the recorded count."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from harness import build, paths, session

MODEL = "all-MiniLM-L6-v2"
KEPT = paths.BENCHES / "instructions.json"
# valgrind runs as if there were no AVX-512.
SETS = ("scalar", "avx2")
MORE = 1.03


def count(instruction_set: str) -> int:
    """Count the instructions of one call of `counted`, and of all that it calls."""
    program, folder = build.bench("instructions"), session.model_folder(MODEL)
    valgrind = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*instructions::counted*"]
    command = [*valgrind, f"--callgrind-out-file={os.devnull}", program, folder]
    environment = {**os.environ, "RUSHLIGHT_CPU": instruction_set}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or counted is None or not int(counted[1]):
        sys.exit(done.stderr)
    return int(counted[1])


def measure(*, keep: bool) -> None:
    """Count by each instruction set; end with an error where one takes 3 % more than what is kept."""
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    counts = {name: count(name) for name in SETS}
    for name, instructions in counts.items():
        print(f"{name:8} {instructions:15,}  {_ratio(instructions, kept.get(name))}")
    if keep:
        KEPT.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    elif worse := [name for name, instructions in counts.items() if instructions > MORE * kept.get(name, instructions)]:
        sys.exit(f"more than 3 % above what is kept: {', '.join(worse)}")


def _ratio(instructions: int, kept: int | None) -> str:
    return "nothing kept" if kept is None else f"{100 * (instructions / kept - 1):+.2f} % of the {kept:,} that are kept"
