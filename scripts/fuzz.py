"""Runs the fuzz targets for a time in all, and prints a table of executions and findings.

    python scripts/fuzz.py --minutes 10 [TARGET ...]

`make fuzz` builds the program first. Found inputs are in fuzz/artifacts; one becomes a test as a file in
fuzz/seeds/TARGET.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FUZZ = Path(__file__).resolve().parent.parent / "fuzz"
TARGETS = sorted(path.stem for path in (FUZZ / "src" / "targets").glob("*.rs") if path.stem != "mod")
# Sizes that a file chooses are tried before they are used, so the allocator must be able to refuse them.
SANITIZER = "allocator_may_return_null=1:detect_leaks=0:max_allocation_size_mb=65536"


def program() -> Path:
    """Return the built program."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", FUZZ / "target"))
    (path,) = folder.glob("*/release/any")
    return path


def run(target: str, seconds: int, scratch: str) -> tuple[str, int, list[str]]:
    """Fuzz a target. Return its name, the number of executions, and the inputs that it found."""
    corpus, seeds, found = FUZZ / "corpus" / target, FUZZ / "seeds" / target, FUZZ / "artifacts" / target
    for folder in (corpus, seeds, found):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-timeout=30",
        "-rss_limit_mb=4096",
        "-malloc_limit_mb=65536",
        "-max_len=2048",
    ]
    environment = os.environ | {"RUSHLIGHT_FUZZ": target, "ASAN_OPTIONS": SANITIZER, "TMPDIR": scratch}
    log = found.with_suffix(".log")
    with log.open("w") as file:
        command = [str(program()), str(corpus), str(seeds), *options]
        subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    executed = re.findall(r"(?:^#|number_of_executed_units: )(\d+)", log.read_text(errors="replace"), re.MULTILINE)
    new = sorted(path.name for path in set(found.iterdir()) - before)
    return target, max(map(int, executed), default=0), new


def main() -> int:
    """Run the targets of the command line, and return 1 if any found an input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=10, help="time of all targets together (default: 10)")
    arguments = parser.parse_args()
    targets = arguments.targets or TARGETS
    at_once = min(len(targets), os.cpu_count() or 1)
    seconds = max(1, round(arguments.minutes * 60 * at_once / len(targets)))
    # Targets write a folder for most inputs, so it should be in memory.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch, ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda target: run(target, seconds, scratch), targets))
    print("| target | executions | findings |\n|---|---|---|")
    for target, executions, found in results:
        print(f"| {target} | {executions:,} | {', '.join(found) or 'none'} |")
    return 1 if any(found for _, _, found in results) else 0


if __name__ == "__main__":
    sys.exit(main())
