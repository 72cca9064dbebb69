"""Results of evaluations: numbers, their intervals, comparisons, tables and plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.evaluation import _plotting
from rushlight.evaluation._statistics import Statistic, pyplot
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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

    def table(
        self,
        metrics: Iterable[str] | None = None,
        *,
        intervals: bool = False,
        against: Evaluation | None = None,
        **options: Any,
    ) -> str:
        """Return a table of metrics as text; a star marks the primary one.

        Parameters
        ----------
        metrics
            Names of metrics; None shows all.
        intervals
            Show confidence intervals.
        against
            Result of another model, to show with the difference and its p-value; see `compare`.
        **options
            See `interval`.
        """
        names = list(self) if metrics is None else [self._named(name) for name in metrics]
        width = max(map(len, names), default=0)
        return "\n".join(self._line(name, width, intervals, against, options) for name in names)

    def _line(self, name: str, width: int, intervals: bool, against: Evaluation | None, options: dict[str, Any]) -> str:
        cells = [f"{'*' if name == self.primary_metric else ' '} {name:<{width}}", f"{self[name]:>10.4f}"]
        if intervals and name in self.statistics:
            bounds = self.interval(name, **options)
            cells.append(f"[{bounds.low:.4f}, {bounds.high:.4f}]")
        if against is not None and name in against:
            cells.append(f"{against[name]:>10.4f} {against[name] - self[name]:>+10.4f}")
            if name in self.statistics:
                found = self.compare(against, name, **options)
                cells.append(f"[{found.low:+.4f}, {found.high:+.4f}]  p = {found.p_value:.4f}")
        return "  ".join(cells)

    def plot(
        self,
        metrics: Iterable[str] | None = None,
        *,
        against: Evaluation | None = None,
        labels: Sequence[str] = ("first", "second"),
        ax: Any = None,
        **options: Any,
    ) -> Any:
        """Plot metrics as bars with confidence intervals, or recall over k if there are several.

        Parameters
        ----------
        metrics
            Names of metrics to draw as bars. None draws recall over k for retrieval, and else all metrics up to 1.
        against
            Result of another model, to draw beside this one.
        labels
            Names of both models.
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
        axes = pyplot().subplots(layout="constrained")[1] if ax is None else ax
        results = dict(zip(labels, [self] if against is None else [self, against], strict=False))
        named = None if metrics is None else [self._named(name) for name in metrics]
        _plotting.draw(axes, results, named, options)
        return axes

    def bounds(self, metric: str, **options: Any) -> Interval:
        """Return the interval of a metric, or its value alone if it has no items to resample."""
        name = self._named(metric)
        return self.interval(name, **options) if name in self.statistics else Interval(self[name], self[name])

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
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(0, count, count)) for _ in range(resamples)], dtype=np.float64)
    drawn = drawn[~np.isnan(drawn)]  # such as the correlation of a resample whose items are all the same
    if not len(drawn):
        raise InvalidArgumentError(f"items: the metric is undefined in all resamples of {count}")
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high), drawn
