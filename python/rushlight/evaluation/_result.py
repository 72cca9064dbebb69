"""Results of evaluations: numbers, their intervals, comparisons, tables and plots."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.evaluation._statistics import Statistic, pyplot, scipy_stats
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """Confidence interval of a metric."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Difference of a metric between two models on the same items.

    `difference` is `second - first`, `low` and `high` bound its confidence interval, and `p_value` is the two-sided
    probability of such a difference by chance, by paired bootstrap.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float

    def __str__(self) -> str:
        return (
            f"{self.metric}: {self.first:.4f} -> {self.second:.4f}, difference {self.difference:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}], p = {self.p_value:.4f}"
        )


class Evaluation(dict[str, float]):
    """Metrics by name, as a dict, with the items that they were computed from.

    Parameters
    ----------
    metrics
        Numbers by name, or statistics of the items.
    primary_metric
        Name of the metric that sums up the evaluation.
    greater_is_better
        True if a larger value is better.

    Examples
    --------
    >>> from rushlight.evaluation import TripletEvaluator
    >>> evaluator = TripletEvaluator(["a lamp"], ["a light"], ["a fish"])  # doctest: +SKIP
    >>> result = evaluator(model)  # doctest: +SKIP
    >>> result["cosine_accuracy"], result.primary_metric  # doctest: +SKIP
    (1.0, 'cosine_accuracy')
    """

    def __init__(
        self,
        metrics: Mapping[str, float | Statistic],
        primary_metric: str | None = None,
        *,
        greater_is_better: bool = True,
    ) -> None:
        super().__init__({name: float(m() if isinstance(m, Statistic) else m) for name, m in metrics.items()})
        self.primary_metric = primary_metric
        self.greater_is_better = greater_is_better
        self.statistics = {name: metric for name, metric in metrics.items() if isinstance(metric, Statistic)}

    @property
    def value(self) -> float:
        """Value of the primary metric."""
        return self[self._named(None)]

    def interval(
        self, metric: str | None = None, *, confidence_level: float = 0.95, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Return a confidence interval by bootstrap: the percentiles of the metric over resampled items.

        Parameters
        ----------
        metric
            Name of a metric; None is the primary one.
        confidence_level
            Share of intervals that contain the true value, between 0 and 1.
        n_resamples
            Number of resamples.
        seed
            Seed of the resampling.

        Raises
        ------
        InvalidArgumentError
            The metric is unknown or has no items, as a threshold of paraphrase mining.
        MissingDependencyError
            scipy is not installed.
        """
        statistic = self._statistic(metric)
        low, high, _ = _resampled(statistic, statistic.count, confidence_level, n_resamples, seed)
        return Interval(low, high)

    def compare(
        self,
        other: Evaluation,
        metric: str | None = None,
        *,
        confidence_level: float = 0.95,
        n_resamples: int = 1000,
        seed: int = 0,
    ) -> Comparison:
        """Compare with the result of another model on the same items; see `interval` for the arguments.

        Raises
        ------
        InvalidArgumentError
            The metric is unknown, has no items, or was computed from other items.
        """
        name = self._named(metric)
        first, second = self._statistic(name), other._statistic(name)
        if first.count != second.count:
            raise InvalidArgumentError(f"other: must be of the same {first.count} items, got {second.count}")

        def difference(items: NDArray[np.int64] | None = None) -> float:
            return second(items) - first(items)

        low, high, drawn = _resampled(difference, first.count, confidence_level, n_resamples, seed)
        below, above = np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0)
        p_value = min(2 * (min(below, above) + 1) / (len(drawn) + 1), 1.0)
        return Comparison(name, self[name], other[name], other[name] - self[name], low, high, p_value)

    def table(self, metrics: Iterable[str] | None = None, *, intervals: bool = False, **options: Any) -> str:
        """Return a table of metrics as text, with confidence intervals if asked for.

        `**options` are those of `interval`.
        """
        names = list(self) if metrics is None else [self._named(name) for name in metrics]
        width = max(map(len, names), default=0)
        lines = []
        for name in names:
            mark = "*" if name == self.primary_metric else " "
            line = f"{mark} {name:<{width}} {self[name]:>10.4f}"
            if intervals and name in self.statistics:
                bounds = self.interval(name, **options)
                line += f"  [{bounds.low:.4f}, {bounds.high:.4f}]"
            lines.append(line)
        return "\n".join(lines)

    def plot(self, metrics: Iterable[str] | None = None, *, ax: Any = None, **options: Any) -> Any:
        """Plot metrics as bars with confidence intervals, or recall over k if there are several.

        Parameters
        ----------
        metrics
            Names of metrics to draw as bars. None draws recall over k for retrieval, and else all metrics up to 1.
        ax
            Axes of matplotlib to draw on; None makes new ones.
        **options
            See `interval`.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingDependencyError
            matplotlib is not installed.
        """
        axes = pyplot().subplots()[1] if ax is None else ax
        recalls = self._recalls() if metrics is None else []
        if len(recalls) > 1:
            self._draw_recalls(axes, recalls, options)
        else:
            shown = [name for name, value in self.items() if abs(value) <= 1] if metrics is None else list(metrics)
            self._draw_bars(axes, [self._named(name) for name in shown], options)
        return axes

    def _draw_recalls(self, axes: Any, recalls: list[tuple[int, str]], options: dict[str, Any]) -> None:
        ks = [k for k, _ in recalls]
        bounds = [self._bounds(name, options) for _, name in recalls]
        axes.plot(ks, [self[name] for _, name in recalls], marker="o")
        axes.fill_between(ks, [b.low for b in bounds], [b.high for b in bounds], alpha=0.2)
        axes.set(xlabel="k", ylabel="recall@k", xticks=ks)

    def _draw_bars(self, axes: Any, names: list[str], options: dict[str, Any]) -> None:
        values = [self[name] for name in names]
        bounds = [self._bounds(name, options) for name in names]
        errors = [
            [max(value - b.low, 0.0) for value, b in zip(values, bounds, strict=True)],
            [max(b.high - value, 0.0) for value, b in zip(values, bounds, strict=True)],
        ]
        axes.barh(names, values, xerr=errors)
        axes.invert_yaxis()

    def _bounds(self, name: str, options: dict[str, Any]) -> Interval:
        """Return an interval, or the value alone for a metric without items."""
        return self.interval(name, **options) if name in self.statistics else Interval(self[name], self[name])

    def _recalls(self) -> list[tuple[int, str]]:
        """Return k and name of the recalls by one score function."""
        found = [(int(match[2]), name, match[1]) for name in self if (match := re.fullmatch(r"(.*)recall@(\d+)", name))]
        return sorted((k, name) for k, name, prefix in found if prefix == found[0][2])

    def _named(self, metric: str | None) -> str:
        name = self.primary_metric if metric is None else metric
        _arguments.one_of("metric", name, tuple(self))
        return str(name)

    def _statistic(self, metric: str | None) -> Statistic:
        name = self._named(metric)
        if name not in self.statistics:
            known = ", ".join(self.statistics) or "none"
            raise InvalidArgumentError(f"metric: {name} has no items to resample; those that have: {known}")
        return self.statistics[name]


def _resampled(
    statistic: Any, count: int, confidence_level: float, n_resamples: int, seed: int
) -> tuple[float, float, NDArray[np.float64]]:
    """Return the bounds of a statistic over resampled items, and its values."""
    if not 0 < confidence_level < 1:
        raise InvalidArgumentError(f"confidence_level: must be between 0 and 1, got {confidence_level!r}")
    resamples = _arguments.positive("n_resamples", n_resamples)
    if count < 2:
        raise InvalidArgumentError(f"items: a bootstrap needs at least 2, got {count}")
    result = scipy_stats().bootstrap(
        (np.arange(count),),
        statistic,
        n_resamples=resamples,
        confidence_level=confidence_level,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    drawn: NDArray[np.float64] = np.asarray(result.bootstrap_distribution, dtype=np.float64)
    return float(result.confidence_interval.low), float(result.confidence_interval.high), drawn
