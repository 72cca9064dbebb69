"""Test rushlight on a device within a time, and write a report: ``python scripts/device DEVICE``.

A wheel in target/device, built by ``make device-wheel`` on a machine with a compiler, is unpacked there and tested.
Without one, the installed package is tested. Each step's result is written at once. Called again, the script goes on
with the steps that are missing or failed, so an interruption loses one step. Needs numpy, tqdm and pytest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from shapes import SHAPES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "target/device"
STEPS = Path(__file__).parent / "steps.py"
# Tests that compare all small models with the reference, on the device that a model takes by itself.
GOLDEN = ["golden", "reranker", "sparse", "multi_vector"]
NAMES = "small_models or scores_are_the_references or weights_are_the_references or vectors_and_scores"
DTYPES = {"cpu": ["float32", "bfloat16", "int8"]}
GPU_DTYPES = ["float32", "float16", "bfloat16"]


def main() -> None:
    """Run the steps that lack, then write the report."""
    parser = argparse.ArgumentParser(description="Test rushlight on a device, and write a report.")
    parser.add_argument("device", help="cpu, cuda or metal")
    parser.add_argument("--seconds", type=float, default=540.0, help="time for all steps together; default: 540")
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES), help="default: all")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    FOLDER.mkdir(parents=True, exist_ok=True)
    site = unpack()
    file = FOLDER / f"report-{arguments.device.replace(':', '-')}.json"
    report: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    report.setdefault("steps", {})
    report.update(device=arguments.device, name=name_of(arguments.device))
    wanted = steps(arguments.device, arguments.shapes)
    for step, command in wanted.items():
        if report["steps"].get(step, {}).get("passed"):
            continue
        report["steps"][step] = run(step, command, site, end - time.monotonic())
        file.write_text(json.dumps(report, indent=1))
    file.with_suffix(".md").write_text(markdown(report))
    print(markdown(report))
    sys.exit(not all(report["steps"][step]["passed"] for step in wanted))


def unpack() -> Path | None:
    """Unpack the carried wheel, if there is one, and return the folder."""
    wheels = sorted(FOLDER.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime)
    if not wheels:
        return None
    site = FOLDER / "site"
    shutil.rmtree(site, ignore_errors=True)
    with zipfile.ZipFile(wheels[-1]) as archive:
        archive.extractall(site)
    return site


def name_of(device: str) -> str:
    """Return the name of a GPU as its driver gives it, otherwise the device's."""
    if not device.startswith("cuda") or shutil.which("nvidia-smi") is None:
        return device
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, check=False, capture_output=True, text=True).stdout.strip().replace("\n", "; ")


def steps(device: str, names: list[str]) -> dict[str, list[str]]:
    """Return the command of each step, what matters most first."""
    tests = [str(ROOT / f"tests/python/test_{name}.py") for name in GOLDEN]
    options = ["-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), "-k", NAMES]
    commands = {
        "machine": [str(STEPS), "machine", device],
        "golden": ["-m", "pytest", *options, *tests],
        "halves": [str(STEPS), "halves", device],
        "pool": [str(STEPS), "pool", device],
    }
    for dtype in DTYPES.get(device, GPU_DTYPES):
        for name in names:
            commands[f"throughput {name} {dtype}"] = [str(STEPS), "throughput", device, name, dtype]
    return commands


def run(step: str, command: list[str], site: Path | None, seconds: float) -> dict[str, Any]:
    """Run a step in the time that is left, and return its result."""
    if seconds < 1:
        return {"passed": False, "output": "no time left"}
    paths = [site, ROOT / "tests", ROOT / "tests/python", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path)}
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *command], check=False, capture_output=True, text=True, timeout=seconds, env=environment
        )
        passed, printed, errors = done.returncode == 0, done.stdout.strip(), done.stderr.strip()
    except subprocess.TimeoutExpired:
        passed, printed, errors = False, "", "took longer than the time left"
    result: dict[str, Any] = {"passed": passed, "seconds": round(time.monotonic() - start, 1)}
    last = printed.splitlines()[-1] if printed else ""
    if passed and last.startswith("{"):
        result["result"] = json.loads(last)
    else:
        result["output"] = last if passed else f"{printed}\n{errors}"[-4000:]
    print(f"{step}: {'passed' if passed else 'FAILED'} in {result['seconds']} s", flush=True)
    return result


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    rows = [f"# rushlight on {report['name']}", "", "| step | result | seconds |", "|---|---|---|"]
    for step, result in report["steps"].items():
        shown = json.dumps(result["result"]) if "result" in result else result.get("output", "").splitlines()[-1:]
        text = shown if isinstance(shown, str) else "".join(shown)
        rows.append(f"| {step} | {'' if result['passed'] else '**failed** '}{text} | {result.get('seconds', '')} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
