"""Drawings of evaluations on axes of matplotlib."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rushlight.evaluation._result import Evaluation

_BARS = 0.8  # height of all bars of a metric


def draw(
    axes: Any, results: Mapping[str, Evaluation], metrics: Sequence[str] | None, options: Mapping[str, Any]
) -> None:
    """Draw results by their labels: recall over k if there are several recalls and no metrics are named, else bars."""
    first = next(iter(results.values()))
    recalls = recalls_of(first) if metrics is None else []
    if len(recalls) > 1:
        _draw_recalls(axes, results, recalls, options)
    else:
        shown = [name for name, value in first.items() if abs(value) <= 1] if metrics is None else metrics
        _draw_bars(axes, results, shown, options)
    if len(results) > 1:
        axes.legend()


def recalls_of(result: Evaluation) -> list[tuple[int, str]]:
    """Return k and name of the recalls by the first score function, by rising k."""
    matches = [match for name in result if (match := re.fullmatch(r"(.*)recall@(\d+)", name))]
    return sorted((int(match[2]), match[0]) for match in matches if match[1] == matches[0][1])


def _draw_recalls(
    axes: Any, results: Mapping[str, Evaluation], recalls: Sequence[tuple[int, str]], options: Mapping[str, Any]
) -> None:
    ks = [k for k, _ in recalls]
    for label, result in results.items():
        bounds = [result.bounds(name, **options) for _, name in recalls]
        axes.plot(ks, [result[name] for _, name in recalls], marker="o", label=label)
        axes.fill_between(ks, [each.low for each in bounds], [each.high for each in bounds], alpha=0.2)
    axes.set(xlabel="k", ylabel="recall@k", xticks=ks)


def _draw_bars(
    axes: Any, results: Mapping[str, Evaluation], metrics: Sequence[str], options: Mapping[str, Any]
) -> None:
    height = _BARS / len(results)
    places = np.arange(len(metrics))
    for i, (label, result) in enumerate(results.items()):
        values = np.array([result[name] for name in metrics])
        bounds = [result.bounds(name, **options) for name in metrics]
        below = np.maximum(values - [each.low for each in bounds], 0)
        above = np.maximum([each.high for each in bounds] - values, 0)
        at = places + (i - (len(results) - 1) / 2) * height
        axes.barh(at, values, height, xerr=np.array([below, above]), label=label)
    axes.set_yticks(places, metrics)
    axes.invert_yaxis()
