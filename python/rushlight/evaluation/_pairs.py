"""Evaluators of pairs of texts, which are compared by named similarity functions."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rushlight import _arguments
from rushlight.evaluation import _statistics as statistics
from rushlight.evaluation._base import Evaluator, same_length, suffix, unpacked
from rushlight.evaluation._embeddings import NAMES, pairwise, take
from rushlight.evaluation._result import Evaluation
from rushlight.evaluation._statistics import Statistic
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from rushlight.evaluation._base import Metrics

# Functions whose scores are negative distances; thresholds are on the distances.
_DISTANCES = ("euclidean", "manhattan")


class ByName(Evaluator):
    """Evaluator with metrics for each of several similarity functions."""

    _known: ClassVar[tuple[str, ...]] = NAMES
    similarity_fn_names: list[str]
    _names_of_model = False

    def _take_names(self, names: Sequence[str] | None, main: str | None = None) -> None:
        """Check and keep names; without any, those of `main` or, at each call, of the model."""
        chosen = list(names or ([] if main is None else [main]))
        for name in (*chosen, *([] if main is None else [main])):
            _arguments.one_of("similarity_fn_names", getattr(name, "value", name), self._known)
        self.similarity_fn_names = [str(getattr(name, "value", name)) for name in chosen]
        self._names_of_model = not chosen

    def _begin_names(self, model: Any) -> list[str]:
        if self._names_of_model:
            self.similarity_fn_names = [str(getattr(model.similarity_fn_name, "value", model.similarity_fn_name))]
        return self.similarity_fn_names


class BinaryClassificationEvaluator(ByName):
    """Evaluator of pairs that are similar or not: finds thresholds, and reports their accuracy, F1 and so on.

    Parameters
    ----------
    sentences1, sentences2
        Texts, pair by pair.
    labels
        1 for a similar pair, 0 for another.
    name
        Beginning of the metrics' names.
    batch_size, show_progress_bar
        See `Model.encode`.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    truncate_dim
        Number of columns to keep of embeddings.
    similarity_fn_names
        Functions to compare by: "cosine", "dot", "euclidean", "manhattan"; None is the model's own.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty, a label is neither 0 nor 1, or a name is unknown.
    """

    _parts = ("accuracy", "accuracy_threshold", "f1", "precision", "recall", "f1_threshold", "ap", "mcc")

    def __init__(
        self,
        sentences1: Sequence[Any],
        sentences2: Sequence[Any],
        labels: Sequence[int],
        name: str = "",
        batch_size: int = 32,
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        same_length(sentences1=sentences1, sentences2=sentences2, labels=labels)
        self.sentences1, self.sentences2, self.labels = sentences1, sentences2, labels
        self._labels = binary_labels(labels)
        self._take_names(similarity_fn_names)
        self.csv_file = f"binary_classification_evaluation{suffix(name)}_results.csv"

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> Self:
        """Return an evaluator of objects with `texts`, two each, and `label`."""
        texts, labels = unpacked(examples)
        return cls([pair[0] for pair in texts], [pair[1] for pair in texts], labels, **kwargs)

    def _measure(self, model: Any) -> Metrics:
        first, second = self._embedded(model)
        metrics: Metrics = {}
        names = self._begin_names(model)
        for name in names:
            scores = pairwise(name, first, second)
            higher = name not in _DISTANCES
            found = threshold_metrics(scores if higher else -scores, self._labels, higher=higher)
            found["ap"] = Statistic(statistics.average_precision, (self._labels, scores))
            mcc = functools.partial(statistics.matthews, higher=higher)
            found["mcc"] = Statistic(mcc, (scores if higher else -scores, self._labels))
            metrics |= {f"{name}_{part}": metric for part, metric in found.items()}
        if len(names) > 1:
            values = {key: metric() if isinstance(metric, Statistic) else metric for key, metric in metrics.items()}
            metrics |= {f"max_{part}": max(values[f"{name}_{part}"] for name in names) for part in found}
        return metrics

    def compute_metrics(self, model: Any) -> dict[str, dict[str, float]]:
        """Return the metrics by the name of the similarity function, without those over several functions."""
        values = Evaluation(self._measure(model))
        names = self.similarity_fn_names
        return {name: {part: values[f"{name}_{part}"] for part in self._parts} for name in names}

    def _embedded(self, model: Any) -> tuple[Any, Any]:
        """Embed each distinct text once."""
        try:
            rows = {text: i for i, text in enumerate(dict.fromkeys([*self.sentences1, *self.sentences2]))}
        except TypeError:  # inputs without a hash
            return self._embed(model, self.sentences1), self._embed(model, self.sentences2)
        embeddings = self._embed(model, list(rows))
        first, second = (np.array([rows[text] for text in side]) for side in (self.sentences1, self.sentences2))
        return take(embeddings, first), take(embeddings, second)

    def _primary(self, metrics: Metrics) -> str:
        return "max_ap" if "max_ap" in metrics else f"{self.similarity_fn_names[0]}_ap"

    def _columns(self) -> list[tuple[str, str]]:
        return [(f"{name}_{part}", f"{name}_{part}") for name in self.similarity_fn_names for part in self._parts]

    @staticmethod
    def find_best_acc_and_threshold(scores: Any, labels: Any, high_score_more_similar: bool) -> tuple[float, float]:
        """Return the best accuracy of a threshold on scores, and that threshold."""
        return statistics.best_accuracy(scores, labels, higher=high_score_more_similar)

    @staticmethod
    def find_best_f1_and_threshold(
        scores: Any, labels: Any, high_score_more_similar: bool
    ) -> tuple[float, float, float, float]:
        """Return the best F1 of a threshold on scores, its precision and recall, and that threshold."""
        return statistics.best_f1(scores, labels, higher=high_score_more_similar)


def binary_labels(labels: Sequence[Any]) -> NDArray[np.int64]:
    """Return labels as an array of 0 and 1.

    Raises
    ------
    InvalidArgumentError
        A label is another number.
    """
    for i, label in enumerate(labels):
        if label not in (0, 1):
            raise InvalidArgumentError(f"labels[{i}]: must be 0 or 1, got {label!r}")
    return np.array([int(label) for label in labels], dtype=np.int64)


def threshold_metrics(scores: NDArray[Any], labels: NDArray[Any], *, higher: bool = True) -> Metrics:
    """Return accuracy and F1 by their best thresholds, with these."""
    accuracy, f1 = (functools.partial(best, higher=higher) for best in (statistics.best_accuracy, statistics.best_f1))
    parts = {
        "accuracy": (accuracy, 0),
        "accuracy_threshold": (accuracy, 1),
        "f1": (f1, 0),
        "f1_threshold": (f1, 3),
        "precision": (f1, 1),
        "recall": (f1, 2),
    }
    return {part: Statistic(functools.partial(_part, best, at), (scores, labels)) for part, (best, at) in parts.items()}


def _part(function: Any, at: int, *arrays: NDArray[Any]) -> float:
    return float(function(*arrays)[at])


class EmbeddingSimilarityEvaluator(ByName):
    """Evaluator of pairs with a graded similarity: correlates it with the similarity of embeddings.

    Parameters
    ----------
    sentences1, sentences2
        Texts, pair by pair.
    scores
        Similarity of each pair by human judgement, on any scale.
    batch_size, show_progress_bar
        See `Model.encode`.
    main_similarity
        Function of the primary metric.
    similarity_fn_names
        Functions to compare by: "cosine", "dot", "euclidean", "manhattan"; None is the model's own.
    name
        Beginning of the metrics' names.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    precision
        Precision of embeddings, which are normalized if one is given: "float32", "int8", "uint8", "binary", "ubinary".
    truncate_dim
        Number of columns to keep of embeddings.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty, or a name is unknown.
    """

    _settings: tuple[str, ...] = ("truncate_dim", "precision")

    def __init__(
        self,
        sentences1: Sequence[Any],
        sentences2: Sequence[Any],
        scores: Sequence[float],
        batch_size: int = 16,
        main_similarity: str | None = None,
        similarity_fn_names: Sequence[str] | None = None,
        name: str = "",
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
        precision: str | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        same_length(sentences1=sentences1, sentences2=sentences2, scores=scores)
        _arguments.one_of("precision", precision, (None, "float32", "int8", "uint8", "binary", "ubinary"))
        self.sentences1, self.sentences2, self.scores = sentences1, sentences2, scores
        self.precision = precision
        self.main_similarity = main_similarity
        self._take_names(similarity_fn_names, main_similarity)
        self.csv_file = f"similarity_evaluation{suffix(name)}{suffix(precision or '')}_results.csv"

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> Self:
        """Return an evaluator of objects with `texts`, two each, and `label`."""
        texts, scores = unpacked(examples)
        return cls([pair[0] for pair in texts], [pair[1] for pair in texts], scores, **kwargs)

    @property
    def description(self) -> str:
        """Name of the task."""
        return "Semantic Similarity"

    def _encode_options(self) -> dict[str, Any]:
        chosen = {} if self.precision is None else {"precision": self.precision, "normalize_embeddings": True}
        return {**super()._encode_options(), **chosen}

    def _measure(self, model: Any) -> Metrics:
        first, second = self._embedded(model)
        labels = np.asarray(self.scores, dtype=np.float64)
        metrics: Metrics = {}
        names = self._begin_names(model)
        for name in names:
            in_bits = name == "cosine" and self.precision in ("binary", "ubinary")
            arrays = (labels, _cosine_of_bits(first, second) if in_bits else pairwise(name, first, second))
            metrics[f"pearson_{name}"] = Statistic(statistics.pearson, arrays)
            metrics[f"spearman_{name}"] = Statistic(statistics.spearman, arrays)
        if len(names) > 1:
            for kind, function in (("pearson", statistics.pearson), ("spearman", statistics.spearman)):
                found = [metric for key, metric in metrics.items() if key.startswith(kind)]
                metrics[f"{kind}_max"] = _largest(function, found)
        return metrics

    def _embedded(self, model: Any) -> tuple[Any, Any]:
        count = len(self.sentences1)
        if self.precision in ("int8", "uint8"):  # with ranges of both sides
            both = self._embed(model, [*self.sentences1, *self.sentences2])
            return both[:count].astype(np.float32), both[count:].astype(np.float32)
        first, second = self._embed(model, self.sentences1), self._embed(model, self.sentences2)
        if self.precision in ("binary", "ubinary"):
            return _bits(first), _bits(second)
        return first, second

    def _primary(self, metrics: Metrics) -> str:
        if self.main_similarity is not None:
            return f"spearman_{getattr(self.main_similarity, 'value', self.main_similarity)}"
        return "spearman_max" if "spearman_max" in metrics else f"spearman_{self.similarity_fn_names[0]}"

    def _columns(self) -> list[tuple[str, str]]:
        kinds = ("pearson", "spearman")
        return [(f"{name}_{kind}", f"{kind}_{name}") for name in self.similarity_fn_names for kind in kinds]


def _bits(packed: NDArray[Any]) -> NDArray[np.float32]:
    """Return packed bits as numbers; those of int8 are 128 lower."""
    codes = packed.astype(np.int16) + (128 if packed.dtype == np.int8 else 0)
    return np.unpackbits(codes.astype(np.uint8), axis=1).astype(np.float32)


def _cosine_of_bits(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each pair, rounded as torch does: summed in eight lanes, then lane by lane.

    Many cosines of bits are equal but for their rounding, so ranks depend on it.
    """
    norms = [np.maximum(np.linalg.norm(side, axis=1, keepdims=True), np.float32(1e-12)) for side in (first, second)]
    products = (first / norms[0]) * (second / norms[1])
    vectors = products.reshape(len(products), -1, 8).swapaxes(0, 1)
    even = len(vectors) // 4 * 4
    lanes = sum((sum(vectors[i:even:4]) for i in range(1, 4)), sum(vectors[even:], sum(vectors[:even:4])))
    scores: NDArray[np.float32] = sum(np.moveaxis(np.asarray(lanes), 1, 0))
    return scores


def _largest(function: Any, found: list[Any]) -> Statistic:
    """Return the largest of several correlations with the same labels."""
    arrays = (found[0].arrays[0], *(statistic.arrays[1] for statistic in found))
    return Statistic(functools.partial(_largest_correlation, function), arrays)


def _largest_correlation(function: Any, labels: NDArray[Any], *sides: NDArray[Any]) -> float:
    return max(float(function(labels, scores)) for scores in sides)
