"""Evaluators of sparse models: those of dense ones, with figures of sparsity."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rushlight import SparseEmbeddings, _arguments
from rushlight.evaluation._base import Evaluator
from rushlight.evaluation._distances import MSEEvaluator
from rushlight.evaluation._mining import TranslationEvaluator
from rushlight.evaluation._pairs import BinaryClassificationEvaluator, EmbeddingSimilarityEvaluator
from rushlight.evaluation._reranking import RerankingEvaluator
from rushlight.evaluation._retrieval import InformationRetrievalEvaluator
from rushlight.evaluation._triplets import TripletEvaluator
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rushlight.evaluation._base import Metrics


class Sparse(Evaluator):
    """Evaluator of sparse models: `max_active_dims` replaces `truncate_dim`.

    The metrics are those of the evaluator of dense models, and the mean number of nonzero weights, `active_dims`, with
    their share of zeros, `sparsity_ratio`.
    """

    # Parts of the data whose figures are given, one by one; "" is all of it.
    _sides: ClassVar[tuple[str, ...]] = ("",)
    # Means are over embeddings, and else over calls of `encode`.
    _weighted = False
    _settings: tuple[str, ...] = ("max_active_dims",)
    max_active_dims: int | None = None

    def __init__(self, *args: Any, max_active_dims: int | None = None, **kwargs: Any) -> None:
        self.max_active_dims = _arguments.optional_positive("max_active_dims", max_active_dims)
        self._calls: list[tuple[str, int, dict[str, float]]] = []
        super().__init__(*args, **kwargs)
        for name in ("truncate_dim", "precision"):
            if getattr(self, name, None) is not None:
                raise InvalidArgumentError(f"{name}: sparse embeddings have none; use max_active_dims instead")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the arguments of the evaluator of dense models, with `max_active_dims`."""
        super().__init_subclass__(**kwargs)
        dense = next(base for base in cls.__mro__[1:] if not issubclass(base, Sparse))
        named = inspect.signature(dense).parameters.values()
        kept = [parameter for parameter in named if parameter.name not in ("truncate_dim", "precision")]
        added = inspect.Parameter("max_active_dims", inspect.Parameter.KEYWORD_ONLY, default=None)
        cls.__signature__ = inspect.Signature([*kept, added])  # type: ignore[attr-defined]  # for inspect and IDEs

    def _begin(self) -> None:
        self._calls = []

    def _encode_options(self) -> dict[str, Any]:
        return {"max_active_dims": self.max_active_dims}

    def _seen(self, side: str, embeddings: Any) -> None:
        rows, columns = embeddings.shape
        values = embeddings.values if isinstance(embeddings, SparseEmbeddings) else embeddings
        active = np.count_nonzero(values) / max(rows, 1)
        figures = {"active_dims": active, "sparsity_ratio": 1 - active / max(columns, 1)}
        self._calls.append((side if side in self._sides else "", rows, figures))

    def _seen_metrics(self) -> Metrics:
        metrics: Metrics = {}
        for side in self._sides:
            calls = [(rows, figures) for each, rows, figures in self._calls if each == side]
            weights = [rows if self._weighted else 1 for rows, _ in calls]
            for name in ("active_dims", "sparsity_ratio"):
                values = [figures[name] for _, figures in calls]
                metrics[f"{side}_{name}".removeprefix("_")] = float(np.average(values, weights=weights))
        return metrics

    def _seen_columns(self) -> list[tuple[str, str]]:
        sides = [f"{side}_".removeprefix("_") for side in self._sides]
        names = [f"{side}{name}" for side in sides for name in ("active_dims", "sparsity_ratio")]
        return [(name, name) for name in names]


class SparseBinaryClassificationEvaluator(Sparse, BinaryClassificationEvaluator):
    """`BinaryClassificationEvaluator` of sparse models, with `max_active_dims`, and figures of sparsity."""


class SparseEmbeddingSimilarityEvaluator(Sparse, EmbeddingSimilarityEvaluator):
    """`EmbeddingSimilarityEvaluator` of sparse models, with `max_active_dims`, and figures of sparsity."""


class SparseTripletEvaluator(Sparse, TripletEvaluator):
    """`TripletEvaluator` of sparse models, with `max_active_dims`, and figures of sparsity."""

    _sides = ("anchor", "positive", "negative")


class SparseTranslationEvaluator(Sparse, TranslationEvaluator):
    """`TranslationEvaluator` of sparse models, with `max_active_dims`, and figures of sparsity."""


class SparseMSEEvaluator(Sparse, MSEEvaluator):
    """`MSEEvaluator` of sparse models, with `max_active_dims`, and figures of sparsity."""


class SparseRerankingEvaluator(Sparse, RerankingEvaluator):
    """`RerankingEvaluator` of sparse models, with `max_active_dims`, and figures of sparsity."""

    _sides = ("query", "corpus")


class SparseInformationRetrievalEvaluator(Sparse, InformationRetrievalEvaluator):
    """`InformationRetrievalEvaluator` of sparse models, with `max_active_dims`, and figures of sparsity.

    `avg_flops` is the mean number of products that a score of a query and a document needs.
    """

    _sides = ("query", "corpus")
    _weighted = True
    _settings = (*InformationRetrievalEvaluator._settings, "max_active_dims")

    def _begin(self) -> None:
        super()._begin()
        # Number of embeddings with a weight in each column, and of all embeddings.
        self.count_vectors: dict[str, NDArray[np.int64]] = {}
        self.count_lengths = {"query": 0, "corpus": 0}

    def _seen(self, side: str, embeddings: Any) -> None:
        super()._seen(side, embeddings)
        columns = embeddings.indices[embeddings.values != 0]
        counts = np.bincount(columns, minlength=embeddings.shape[1])
        self.count_vectors[side] = self.count_vectors.get(side, 0) + counts
        self.count_lengths[side] += len(embeddings)

    def _seen_metrics(self) -> Metrics:
        metrics = super()._seen_metrics()
        query, corpus = (self.count_vectors[side] / self.count_lengths[side] for side in self._sides)
        metrics["avg_flops"] = float(query @ corpus)
        return metrics

    def _seen_columns(self) -> list[tuple[str, str]]:
        return [*super()._seen_columns(), ("avg_flops", "avg_flops")]
