"""Statistics over the items of an evaluation, from scipy and scikit-learn where they have them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight.exceptions import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Statistic:
    """Number computed from the items of an evaluation, such as the mean over queries.

    Parameters
    ----------
    function
        Function of as many arrays as `arrays` has.
    arrays
        Arrays with an entry per item.
    """

    function: Callable[..., float]
    arrays: tuple[NDArray[Any], ...]

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.arrays[0])

    def __call__(self, items: NDArray[np.int64] | None = None) -> float:
        """Compute the number from all items, or from those of the given indices."""
        arrays = self.arrays if items is None else tuple(array[items] for array in self.arrays)
        return float(self.function(*arrays))


def mean(values: Any) -> Statistic:
    """Return the mean of a value per item."""
    return Statistic(np.mean, (np.asarray(values, dtype=np.float64),))


def scipy_stats() -> Any:
    """Import `scipy.stats`.

    Raises
    ------
    MissingDependencyError
        scipy is not installed.
    """
    return _needed("scipy.stats", "scipy")


def sklearn_metrics() -> Any:
    """Import `sklearn.metrics`.

    Raises
    ------
    MissingDependencyError
        scikit-learn is not installed.
    """
    return _needed("sklearn.metrics", "scikit-learn")


def pyplot() -> Any:
    """Import `matplotlib.pyplot`.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    return _needed("matplotlib.pyplot", "matplotlib")


def _needed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"this needs {package}, which is not installed: pip install 'rushlight[evaluation]'"
        ) from error


def pearson(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return Pearson's correlation, NaN if either side is constant."""
    return _correlation(scipy_stats().pearsonr, labels, scores)


def spearman(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return Spearman's rank correlation, NaN if either side is constant."""
    return _correlation(scipy_stats().spearmanr, labels, scores)


def _correlation(function: Callable[..., Any], labels: NDArray[Any], scores: NDArray[Any]) -> float:
    constant = any(len(side) < 2 or (side == side[0]).all() for side in (labels, scores))
    return float("nan") if constant else float(function(labels, scores)[0])


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the average precision of binary labels; 0 if none is positive."""
    return float(sklearn_metrics().average_precision_score(labels, scores)) if labels.any() else 0.0


def ndcg(relevant: NDArray[Any], scores: NDArray[Any], k: int) -> float:
    """Return the normalized discounted cumulative gain at k of binary relevance; ties are averaged."""
    if len(relevant) < 2:
        return float(relevant.any())
    return float(sklearn_metrics().ndcg_score([relevant], [scores], k=k))


def reciprocal_rank(relevant: NDArray[Any], scores: NDArray[Any], k: int) -> float:
    """Return 1 / the rank of the first relevant item among the k best, or 0; ties keep their order."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:k]
    hits = np.flatnonzero(np.asarray(relevant)[order])
    return 1.0 / (int(hits[0]) + 1) if len(hits) else 0.0


def f1(labels: NDArray[Any], predicted: NDArray[Any], average: str) -> float:
    """Return the F1 score of several classes."""
    return float(sklearn_metrics().f1_score(labels, predicted, average=average))


def best_accuracy(scores: Any, labels: Any, *, higher: bool = True) -> tuple[float, float]:
    """Return the best accuracy of a threshold on scores, and that threshold; the first one of equals.

    Thresholds lie midway between two scores, which are sorted from the most similar; `higher` scores are more similar.
    """
    scores, labels = _sorted(scores, labels, higher=higher)
    if not len(scores):
        return 0.0, -1.0
    positive = labels == 1
    negatives = np.count_nonzero(~positive)
    outward = np.inf if higher else -np.inf
    correct = np.cumsum(positive) + negatives - np.cumsum(~positive)
    best, at = _first_best(correct, scores)
    if best <= negatives:  # nothing above the threshold
        return negatives / len(labels), float(np.nextafter(scores[0], outward, dtype=scores.dtype))
    return best / len(labels), _threshold(scores, at)


def best_f1(scores: Any, labels: Any, *, higher: bool = True) -> tuple[float, float, float, float]:
    """Return the best F1 of a threshold on scores, its precision and recall, and that threshold."""
    scores, labels = _sorted(scores, labels, higher=higher)
    found = np.cumsum(labels == 1)
    if not len(scores) or not found[-1]:
        return 0.0, 0.0, 0.0, 0.0
    precision, recall = found / np.arange(1, len(found) + 1), found / found[-1]
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
    best, at = _first_best(f1, scores)
    return float(best), float(precision[at]), float(recall[at]), _threshold(scores, at)


def matthews(scores: NDArray[Any], labels: NDArray[Any], *, higher: bool = True) -> float:
    """Return Matthews' correlation of labels with those that the threshold of the best F1 predicts."""
    threshold = best_f1(scores, labels, higher=higher)[3]
    predicted = scores >= threshold if higher else scores <= threshold
    if min(len(np.unique(labels)), len(np.unique(predicted))) < 2:
        return 0.0  # nothing correlates with a constant; scikit-learn would warn
    return float(sklearn_metrics().matthews_corrcoef(labels, predicted))


def _sorted(scores: Any, labels: Any, *, higher: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sort scores from the most similar, with their labels."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    scores = scores.astype(np.result_type(scores.dtype, np.float16))
    order = np.argsort(-scores if higher else scores, kind="stable")
    return scores[order], labels[order]


def _first_best(values: NDArray[Any], scores: NDArray[Any]) -> tuple[Any, int]:
    """Return the first largest value at the end of a run of equal scores, and its index."""
    ends = np.flatnonzero(np.append(scores[:-1] != scores[1:], True))
    at = int(ends[np.argmax(values[ends])])
    return values[at], at


def _threshold(scores: NDArray[Any], at: int) -> float:
    """Return the number midway between a score and the next one, or the score where there is none between."""
    if at == len(scores) - 1:
        return float(scores[at])
    middle = (scores[at] + scores[at + 1]) / scores.dtype.type(2)
    return float(scores[at] if middle == scores[at + 1] else middle)
