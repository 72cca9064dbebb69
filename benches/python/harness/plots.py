"""Pictures of what was measured, as SVG beside the JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import chart, paths
from harness.contenders import OURS

if TYPE_CHECKING:
    from pathlib import Path


def _figure(columns: int = 1, width: float = 7.5) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "rushlight"  # the same figures make the same file
    from matplotlib import pyplot as plt

    return plt.subplots(1, columns, figsize=(width * (1 if columns == 1 else 1.6), 4.8), layout="constrained")


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None})
    print(f"drawn in {file.relative_to(paths.ROOT)}")


def _caption(content: dict[str, Any]) -> str:
    machine = content["machine"]
    return f"{machine['processor']}, {machine['threads']} threads, {machine['info']['instruction_set']}, float32"


def _style(i: int) -> dict[str, Any]:
    """Return how the contender at place `i` is painted: there are ten colours, and then their pale kin."""
    return {"color": f"C{i % 10}", "alpha": 1 if i < 10 else 0.5}


def draw_all() -> None:
    """Draw all results that there are."""
    for file in sorted(paths.RESULTS.glob("*/*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["measurement"] == "throughput":
            chart.draw(content, file.parent)
            _bars(file.with_suffix(".svg"), content)
            single = file.with_name(f"single-{content['model']}.json")
            measured = json.loads(single.read_text(encoding="utf-8")) if single.exists() else None
            _roofline(file.with_name(f"roofline-{content['model']}.svg"), content, measured)
        elif content["measurement"] == "growth":
            _growth(file.with_suffix(".svg"), content)


def _bars(file: Path, content: dict[str, Any]) -> None:
    """Draw the share of the peak that each contender reaches on each workload."""
    figure, axes = _figure()
    names = list(next(iter(content["workloads"].values()))["contenders"])
    height = 0.8 / len(names)
    for i, contender in enumerate(names):
        rows = [workload["contenders"][contender] for workload in content["workloads"].values()]
        shares = [100 * row["share_of_peak"]["median"] for row in rows]
        places = [place + (i - (len(names) - 1) / 2) * height for place in range(len(rows))]
        bars = axes.barh(places, shares, height * 0.9, label=contender, **_style(i))
        labels = [f"{row['texts_per_second']:.0f} texts/s" for row in rows]
        axes.bar_label(bars, labels, fontsize=6, padding=2)
    axes.set_yticks(range(len(content["workloads"])), list(content["workloads"]))
    axes.invert_yaxis()
    axes.axvline(100, color="black", linewidth=1)
    axes.margins(x=0.12)  # for the labels of the longest bars
    axes.set_xlabel("useful operations as a share of the peak of fused multiply-adds, %")
    axes.set_title(f"{content['model']}: {_caption(content)}", fontsize=8)
    figure.legend(fontsize=7, loc="outside lower center", ncols=4)
    _save(figure, file)


def _roofline(file: Path, content: dict[str, Any], single: dict[str, Any] | None) -> None:
    """Draw rates over operations per byte of weights, where a call reads each weight once."""
    figure, axes = _figure()
    loads = content["workloads"].values()
    peak = max(row["peak_gflops"] for load in loads for row in load["contenders"].values())
    markers = dict(zip(content["workloads"], "osD", strict=False))
    names = list(next(iter(loads))["contenders"])
    for i, contender in enumerate(names):
        for workload, load in content["workloads"].items():
            row = load["contenders"][contender]
            intensity = row["flops_per_call"] / load["bytes_of_weights"]
            label = contender if workload == next(iter(content["workloads"])) else None
            axes.plot(intensity, row["gflops"], markers[workload], label=label, markersize=5, **_style(i))
        if single is not None and contender in single["figures"]:
            intensity = single["flops"] / single["bytes_of_weights"]
            axes.plot(intensity, single["figures"][contender]["gflops"], "*", markersize=9, **_style(i))
    axes.axhline(peak, color="black", linewidth=1)
    axes.annotate(f"{peak:.0f} Gflop/s", (1, peak), fontsize=7, va="bottom")
    for key, style in (("memory_bandwidth", "-"), ("bandwidth_at_this_size", "--")):
        if single is not None:
            rate = single[key]
            axes.plot([1, peak / rate], [rate, peak], style, color="black", linewidth=1)
            axes.annotate(f"{rate:.0f} GB/s, {key.replace('_', ' ')}", (1.1, rate), fontsize=6, rotation=35)
    axes.set(xscale="log", yscale="log", ylabel="useful Gflop/s")
    shapes = ", ".join(f"{name}: {marker}" for name, marker in [*markers.items(), ("single query", "*")])
    axes.set_xlabel(f"useful operations of a call per byte of weights ({shapes})", fontsize=8)
    axes.set_title(f"{content['model']}: {_caption(content)}", fontsize=8)
    figure.legend(fontsize=7, loc="outside lower center", ncols=4)
    _save(figure, file)


def _growth(file: Path, content: dict[str, Any]) -> None:
    """Draw tokens per second, with what the peak would allow."""
    figure, both = _figure(2)
    for axes, series, key, label in (
        (both[0], "lengths", "length", "tokens of each text"),
        (both[1], "numbers", "texts", "texts of a call (mixed lengths)"),
    ):
        for i, (model, found) in enumerate(content["models"].items()):
            places = [point[key] for point in found[series]]
            axes.plot(places, [p["tokens_per_second"] for p in found[series]], "o-", color=f"C{i}", label=model)
            limit = [p["limit_of_tokens_per_second"] for p in found[series]]
            axes.plot(places, limit, "--", color=f"C{i}", label=f"{model}, the peak's limit")
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="tokens per second")
        axes.set_xscale("log", base=2)
        axes.grid(visible=True, which="both", alpha=0.2)
    both[0].legend(fontsize=7)
    figure.suptitle(f"{OURS}: {_caption(content)}", fontsize=8)
    _save(figure, file)
