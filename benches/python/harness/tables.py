"""The results as tables in Markdown, so that no figure is typed by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def render() -> str:
    """Return all results that there are."""
    sections = []
    for file in sorted(paths.RESULTS.glob("*/*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        machine = content["machine"]
        sections += [
            f"### {content['measurement']}, {content['model']}",
            (
                f"{machine['processor']}; {machine['threads']} threads; {machine['info']['instruction_set']};"
                f" {machine['system']}; rushlight {machine['rushlight']} at {machine['commit']}"
            ),
            _TABLES[content["measurement"]](content),
        ]
        wrong = [name for name, report in content.get("contenders", {}).items() if not report.get("right", True)]
        if wrong:
            sections.append(f"Not timed, since wrong or not to be had: {', '.join(wrong)}.")
    return "\n\n".join(sections) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _throughput(content: dict[str, Any]) -> str:
    def rows() -> Iterable[Sequence[str]]:
        for workload, load in content["workloads"].items():
            for name, row in load["contenders"].items():
                times = row["times_of_ours"]
                yield (
                    workload,
                    name,
                    f"{row['texts_per_second']:.0f}",
                    f"{row['tokens_per_second']:.0f}",
                    f"{row['share_of_peak']['median']:.1%}",
                    f"{times['median']:.2f}",
                    f"{times['least']:.2f} to {times['most']:.2f}",
                )

    return _table(("workload", "", "texts/s", "tokens/s", "of the peak", "time of ours", "in all rounds"), rows())


def _single(content: dict[str, Any]) -> str:
    rows = (
        (
            name,
            f"{row['milliseconds']:.3f}",
            f"{row['share_of_memory_bandwidth']:.0%}",
            f"{row['share_of_bandwidth_at_this_size']:.0%}",
            f"{row['times_of_ours']['median']:.2f}",
        )
        for name, row in content["figures"].items()
    )
    memory, cached = content["memory_bandwidth"], content["bandwidth_at_this_size"]
    head = ("", "p50, ms", f"of memory's {memory:.1f} GB/s", f"of {cached:.1f} GB/s, read again", "time of ours")
    return _table(head, rows)


def _start(content: dict[str, Any]) -> str:
    rows = (
        (name, f"{row['milliseconds']:.0f}", f"{row['above_numpy']:.0f}", f"{row['times_of_ours']['median']:.2f}")
        for name, row in content["figures"].items()
    )
    return _table(("", "to the first embedding, ms", "above numpy, ms", "time of ours"), rows)


def _memory(content: dict[str, Any]) -> str:
    keys = ("after_one_query", "of_it_mapped_files", "peak_until_then", "peak_over_mixed")
    figures = content["figures"].items()
    rows = ((name, *(f"{row[key]:.0f}" if key in row else "" for key in keys)) for name, row in figures)
    return _table(("MB", *(key.replace("_", " ") for key in keys)), rows)


def _scaling(content: dict[str, Any]) -> str:
    rows = (
        (
            threads,
            f"{row['times_as_fast']['median']:.2f}",
            f"{row['peak_times_as_fast']:.2f}",
            f"{row['tokens_per_second']:.0f}",
        )
        for threads, row in content["figures"].items()
    )
    return _table(("threads", "times as fast", "the peak's", "tokens/s"), rows)


def _growth(content: dict[str, Any]) -> str:
    rows = (
        (
            model,
            f"{point['texts']:.0f}",
            f"{point['length']:.0f}",
            f"{point['tokens_per_second']:.0f}",
            f"{point['share_of_peak']:.1%}",
        )
        for model, found in content["models"].items()
        for series in ("lengths", "numbers")
        for point in found[series]
    )
    return _table(("model", "texts", "tokens of each", "tokens/s", "of the peak"), rows)


_TABLES = {
    "throughput": _throughput,
    "single": _single,
    "start": _start,
    "memory": _memory,
    "scaling": _scaling,
    "growth": _growth,
}
