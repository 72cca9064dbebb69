"""Evaluator of triplets: an anchor, a text that is similar to it, and one that is less so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.evaluation._base import same_length, suffix, unpacked
from rushlight.evaluation._embeddings import pairwise
from rushlight.evaluation._pairs import ByName
from rushlight.evaluation._statistics import Statistic, mean
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

    from rushlight.evaluation._base import Metrics


class TripletEvaluator(ByName):
    """Evaluator of triplets: the share of anchors that are more similar to their positive than to their negative.

    Parameters
    ----------
    anchors, positives, negatives
        Texts, triplet by triplet. Anchors are embedded as queries, the others as documents.
    main_similarity_function
        Function of the primary metric.
    margin
        Number by which the positive must be more similar, or numbers by the name of the function.
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
    main_distance_function
        Older name of `main_similarity_function`.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty, or a name is unknown.
    """

    def __init__(
        self,
        anchors: Sequence[Any],
        positives: Sequence[Any],
        negatives: Sequence[Any],
        main_similarity_function: str | None = None,
        margin: float | dict[str, float] | None = None,
        name: str = "",
        batch_size: int = 16,
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
        main_distance_function: str | None = "deprecated",
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        same_length(anchors=anchors, positives=positives, negatives=negatives)
        self.anchors, self.positives, self.negatives = anchors, positives, negatives
        if main_similarity_function is None and main_distance_function != "deprecated":
            main_similarity_function = main_distance_function
        self.main_similarity_function = main_similarity_function
        self._take_names(similarity_fn_names, main_similarity_function)
        self.margin = self._margins(margin)
        self.csv_file = f"triplet_evaluation{suffix(name)}_results.csv"

    def _margins(self, margin: Any) -> dict[str, float]:
        if margin is None or isinstance(margin, (int, float)):
            return dict.fromkeys(self._known, margin or 0)
        if not isinstance(margin, dict):
            raise InvalidArgumentError(f"margin: must be a number or a dict of numbers, got {type(margin).__name__}")
        for name in margin:
            _arguments.one_of("margin", name, self._known)
        return {**dict.fromkeys(self._known, 0), **margin}

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> Self:
        """Return an evaluator of objects with `texts`, three each."""
        texts, _ = unpacked(examples)
        anchors, positives, negatives = ([triplet[i] for triplet in texts] for i in range(3))
        return cls(anchors, positives, negatives, **kwargs)

    def _measure(self, model: Any) -> Metrics:
        anchors = self._embed(model, self.anchors, "query", "anchor")
        positives = self._embed(model, self.positives, "document", "positive")
        negatives = self._embed(model, self.negatives, "document", "negative")
        metrics: Metrics = {}
        names = self._begin_names(model)
        for name in names:
            near, far = pairwise(name, anchors, positives), pairwise(name, anchors, negatives)
            metrics[f"{name}_accuracy"] = mean(near > far + np.float32(self.margin[name]))
        if len(names) > 1:
            metrics["max_accuracy"] = max(metric() for metric in metrics.values() if isinstance(metric, Statistic))
        return metrics

    def _primary(self, metrics: Metrics) -> str:
        if self.main_similarity_function is not None:
            return f"{getattr(self.main_similarity_function, 'value', self.main_similarity_function)}_accuracy"
        return "max_accuracy" if "max_accuracy" in metrics else f"{self.similarity_fn_names[0]}_accuracy"

    def _columns(self) -> list[tuple[str, str]]:
        return [(f"accuracy_{name}", f"{name}_accuracy") for name in self.similarity_fn_names]

    def get_config_dict(self) -> dict[str, Any]:
        """Return settings that belong on a model card."""
        margins = {"margin": self.margin} if any(self.margin.values()) else {}
        return {**margins, **super().get_config_dict()}
