"""Two wheels of rushlight: their size, the bits of what they compute, the instructions of a call, and throughput."""

from __future__ import annotations

import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness import check, contenders, paths, session
from harness.outputs import KINDS
from harness.workloads import Writer, slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODEL = "all-MiniLM-L6-v2"
# Environments that the wheels are installed in.
SIDES = ("before", "after")
# valgrind runs as if there were no AVX-512.
COUNTED_SET = "avx2"
MORE_INSTRUCTIONS = 1.01
# Parts of the workload: about half a second each.
PARTS = 10


class Row(NamedTuple):
    """A line of the table."""

    name: str
    before: str
    after: str
    verdict: str
    problems: Sequence[str] = ()
    """Reasons why the wheels count as different."""


def compare(wheels: tuple[Path, Path], measurements: Sequence[str], threads: int, rounds: int) -> None:
    """Compare the wheels that are installed in the environments; end with an error where they differ."""
    if os.environ.get("PYTHONPATH"):
        sys.exit("PYTHONPATH is set: a rushlight there would be measured in place of the wheels")
    rows = [_size(wheels)]
    for name in measurements:
        rows += MEASUREMENTS[name](threads, rounds)
    _print(rows)
    if any(row.problems for row in rows):
        sys.exit("the wheels differ")


def _size(wheels: tuple[Path, Path]) -> Row:
    before, after = (wheel.stat().st_size for wheel in wheels)
    return Row("size, MB", f"{before / 1e6:.2f}", f"{after / 1e6:.2f}", _change(before, after))


def _bits(*_: int) -> list[Row]:
    """Compare all cases by each instruction set of this machine; the real models, which take long, by the best."""
    import rushlight

    info = rushlight.info()
    best = info["instruction_set"]
    small = [kind for kind in KINDS if kind != "real"]
    return [_bits_by(name, list(KINDS) if name == best else small) for name in info["instruction_sets"]]


def _bits_by(instruction_set: str, kinds: Sequence[str]) -> Row:
    before, after = (_outputs(side, instruction_set, kinds) for side in SIDES)
    problems = _differences(before, after)
    verdict = f"{len(problems)} cases DIFFER" if problems else "equal"
    new = len(after.keys() - before.keys())
    verdict += f", {new} are new" if new else ""
    return Row(f"bits by {instruction_set}, cases", str(len(before)), str(len(after)), verdict, problems)


def _outputs(side: str, instruction_set: str, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the arrays that a wheel computes: by case, by call and number."""
    cases: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outputs.npz"
        _run(side, ["harness.outputs", file, *kinds], {"RUSHLIGHT_CPU": instruction_set})
        with np.load(file) as arrays:
            for name, array in arrays.items():
                kind, case, call = name.split("/", 2)
                cases.setdefault(f"{kind}/{case}", {})[call] = array
    return cases


def _differences(before: Mapping[str, dict[str, Any]], after: Mapping[str, dict[str, Any]]) -> list[str]:
    """Name the cases that differ, with the calls that do; what is only in `after` may be new."""
    problems = []
    for case, arrays in before.items():
        found = {call: _difference(array, after.get(case, {}).get(call)) for call, array in arrays.items()}
        differing = {call: difference for call, difference in found.items() if difference is not None}
        if differing:
            calls = ", ".join(sorted({call.split("/")[0] for call in differing}))
            largest = max(differing.values())
            how = f"by at most {largest:.1e}" if largest < math.inf else "in shape, or is missing"
            problems.append(f"{case}: {calls} differs {how}")
    return problems


def _difference(old: Any, new: Any) -> float | None:
    """Return the largest difference of arrays, infinity where they can't be compared; none for the same bits."""
    if new is None or (old.dtype, old.shape) != (new.dtype, new.shape):
        return math.inf
    if old.tobytes() == new.tobytes():
        return None
    return float(np.abs(new.astype(np.float64) - old.astype(np.float64)).max())


def _instructions(*_: int) -> list[Row]:
    """Count what a second call adds to a process: neither Python's start nor loading is part of it."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not on the PATH: install it, or leave the instructions out")
    runs = [(side, calls) for side in SIDES for calls in (1, 2)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        once_before, twice_before, once_after, twice_after = pool.map(lambda run: _count(*run), runs)
    before, after = twice_before - once_before, twice_after - once_after
    many = after > MORE_INSTRUCTIONS * before
    problems = [f"more than {MORE_INSTRUCTIONS:.0%} of those before"] if many else []
    return [Row(f"instructions by {COUNTED_SET}", f"{before:,}", f"{after:,}", _change(before, after), problems)]


def _count(side: str, calls: int) -> int:
    """Count the instructions of a process that embeds a few texts so many times."""
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={os.devnull}"]
    environment = {
        **contenders.environment(session.model_folder(MODEL), threads=1),
        "RUSHLIGHT_CPU": COUNTED_SET,
        "PYTHONHASHSEED": "0",
    }
    printed = _run(side, ["harness.fixed_call", session.model_folder(MODEL), str(calls)], environment, valgrind)
    counted = re.search(r"I +refs: +([\d,]+)", printed)
    if counted is None:
        sys.exit(printed)
    return int(counted[1].replace(",", ""))


def _run(side: str, module: Sequence[str | Path], environment: Mapping[str, str], wrapper: Sequence[str] = ()) -> str:
    """Run a module of this package with a wheel, and return what it writes to standard error."""
    done = subprocess.run(
        [*wrapper, paths.python(side), "-m", *module],
        cwd=paths.HARNESS.parent,
        env={**os.environ, **environment},
        check=False,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{side}: {done.stderr}")
    return done.stderr


def _throughput(threads: int, rounds: int) -> list[Row]:
    """Let both wheels take turns on parts of a workload, after both were held to the reference."""
    from rushlight import Model

    folder = session.model_folder(MODEL)
    count = Model(folder).count_tokens
    texts = Writer(folder, count).workloads()["mixed"]
    parts = [[texts[index] for index in part] for part in slices(count(texts), PARTS)]
    with ExitStack() as stack:
        sides = (contenders.Contender(side, "rushlight", side) for side in SIDES)
        workers = [stack.enter_context(contenders.Worker(side, folder, threads)) for side in sides]
        reports = [check.check(worker, folder) for worker in workers]
        wrong = [
            f"{worker.name} is wrong" for worker, report in zip(workers, reports, strict=True) if not report["right"]
        ]
        if wrong:
            return [Row("mixed, texts/s", "", "", "not timed", wrong)]
        for worker in workers:  # what only happens once must not be in the first round
            worker.encode(parts[0])
        turns = [[worker.encode(parts[number % PARTS]) for worker in workers] for number in range(rounds)]
    rates = [statistics.median(len(parts[n % PARTS]) / turn[side] for n, turn in enumerate(turns)) for side in (0, 1)]
    ratios = [before / after for before, after in turns]
    low, middle, high = statistics.quantiles(ratios, n=4)
    verdict = f"times {middle:.3f}, half of {rounds} rounds in {low:.3f} to {high:.3f}: "
    verdict += "within noise" if low <= 1 <= high else "faster" if middle > 1 else "SLOWER"
    return [Row("mixed, texts/s", *(f"{rate:.0f}" for rate in rates), verdict)]


MEASUREMENTS: dict[str, Callable[[int, int], list[Row]]] = {
    "bits": _bits,
    "instructions": _instructions,
    "throughput": _throughput,
}


def _change(before: float, after: float) -> str:
    return f"{100 * (after / before - 1):+.2f} %"


def _print(rows: Sequence[Row]) -> None:
    widths = [max(len(row[column]) for row in [("", *SIDES), *rows]) for column in range(3)]
    for name, before, after, verdict, problems in [Row("", *SIDES, ""), *rows]:
        print(f"{name:{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {verdict}".rstrip())
        for problem in problems:
            print(f"    {problem}")
