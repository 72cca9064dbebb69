"""Beginning and end of all measurements: a model, contenders that were checked, and a file of results."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from harness import check, contenders, machine, paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.contenders import Contender, Worker


def chosen(names: Sequence[str]) -> list[Contender]:
    """Return the contenders of these names, in the order of the table; ours is always among them."""
    return [contender for contender in contenders.ALL if contender.name in (contenders.OURS, *names)]


def model_folder(name: str) -> Path:
    """Return a model's folder."""
    folder = paths.MODELS / name
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not there: make models")
    return folder


@contextmanager
def checked(names: Sequence[str], model: Path, threads: int) -> Iterator[tuple[list[Worker], dict[str, Any]]]:
    """Start contenders, and hold them to the reference; yield those that are right, and what is to be said of all."""
    reports: dict[str, Any] = {}
    with ExitStack() as stack:
        workers = []
        for contender in chosen(names):
            try:
                worker = stack.enter_context(contenders.Worker(contender, model, threads))
                report = {"versions": worker.versions, **check.check(worker, model)}
            except (OSError, RuntimeError, ValueError) as error:
                report = {"right": False, "problem": str(error)}
            reports[contender.name] = report
            print(f"{contender.name}: {_verdict(report)}")
            if report["right"]:
                workers.append(worker)
        yield workers, reports


def _verdict(report: dict[str, Any]) -> str:
    if "problem" in report:
        return f"left out, {report['problem']}"
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    text = f"largest difference {report['largest_difference']:.1e} ({versions})"
    return text if report["right"] else f"WRONG, and so not timed: {text}"


def write(measurement: str, model: str, threads: int, result: dict[str, Any]) -> Path:
    """Write what was measured, beside what it was measured on."""
    described = machine.describe(threads)
    folder = paths.RESULTS / described["info"]["instruction_set"]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{measurement}-{model}.json"
    content = {"measurement": measurement, "model": model, "machine": described, **result}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written to {file.relative_to(paths.ROOT)}")
    return file
