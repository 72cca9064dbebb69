"""Evaluators of the order of a few documents for each query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.evaluation import _statistics as statistics
from rushlight.evaluation._base import Evaluator, suffix
from rushlight.evaluation._embeddings import score, scorer
from rushlight.evaluation._statistics import mean
from rushlight.exceptions import InvalidArgumentError
from rushlight.util import cos_sim

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from rushlight.evaluation._base import Metrics
    from rushlight.evaluation._result import Evaluation

    # Relevance of documents, and their scores; None where no document is relevant.
    Ranking = tuple[Sequence[int], Sequence[float]] | None


class Ranked(Evaluator):
    """Evaluator with average precision, reciprocal rank and NDCG of rankings."""

    at_k: int
    _settings: tuple[str, ...] = ("at_k", "truncate_dim")

    def _ranked(self, rankings: Iterable[Ranking], prefix: str = "") -> Metrics:
        """Return the metrics of rankings; one without a relevant document counts as 0."""
        rows = [self.compute_metrics(*ranking) if ranking else (0.0, 0.0, 0.0) for ranking in rankings]
        reciprocal, gain, precision = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        return {
            f"{prefix}map": mean(precision),
            f"{prefix}mrr@{self.at_k}": mean(reciprocal),
            f"{prefix}ndcg@{self.at_k}": mean(gain),
        }

    def compute_metrics(self, y_true: Any, y_pred: Any) -> tuple[float, float, float]:
        """Return reciprocal rank, NDCG and average precision of one ranking."""
        relevant, scores = np.asarray(y_true), np.asarray(y_pred)
        return (
            statistics.reciprocal_rank(relevant, scores, self.at_k),
            statistics.ndcg(relevant, scores, self.at_k),
            statistics.average_precision(relevant, scores),
        )

    def _ranked_columns(self, header: str = "", prefix: str = "") -> list[tuple[str, str]]:
        kinds = ("map", f"mrr@{self.at_k}", f"ndcg@{self.at_k}")
        return [(f"{header}{kind.upper()}", f"{prefix}{kind}") for kind in kinds]

    def _columns(self) -> list[tuple[str, str]]:
        return self._ranked_columns()

    def _primary(self, metrics: Metrics) -> str:
        return f"ndcg@{self.at_k}"


class RerankingEvaluator(Ranked):
    """Evaluator of the order of each query's documents by their similarity to it.

    Parameters
    ----------
    samples
        Dicts with a "query", its "positive" documents and its "negative" ones; those without either are left out.
    at_k
        Rank at which MRR and NDCG are measured.
    name
        Beginning of the metrics' names.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    similarity_fct
        Function that scores queries against documents.
    batch_size, show_progress_bar
        See `Model.encode`.
    use_batched_encoding
        Embed the documents of all queries at once, and else query by query, which needs less memory.
    truncate_dim
        Number of columns to keep of embeddings.
    mrr_at_k
        Older name of `at_k`.

    Raises
    ------
    InvalidArgumentError
        A sample lacks a key, or no sample has both positive and negative documents.
    """

    def __init__(
        self,
        samples: Sequence[Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]],
        at_k: int = 10,
        name: str = "",
        write_csv: bool = True,
        similarity_fct: Callable[[Any, Any], Any] | None = cos_sim,
        batch_size: int = 64,
        show_progress_bar: bool | None = False,
        use_batched_encoding: bool = True,
        truncate_dim: int | None = None,
        mrr_at_k: int | None = None,
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        self.at_k = _arguments.positive("at_k", at_k if mrr_at_k is None else mrr_at_k)
        self.samples = [
            {**sample, **{side: texts_of(sample, side) for side in ("positive", "negative")}}
            for sample in checked(samples, "query", "positive", "negative")
        ]
        self.samples = [sample for sample in self.samples if sample["positive"] and sample["negative"]]
        if not self.samples:
            raise InvalidArgumentError("samples: must have one with both positive and negative documents")
        self.similarity_fct, self.use_batched_encoding = similarity_fct, use_batched_encoding
        self.csv_file = f"RerankingEvaluator{suffix(name)}_results_@{self.at_k}.csv"

    def _measure(self, model: Any) -> Metrics:
        function = scorer(model, self._function(model))
        at_once = len(self.samples) if self.use_batched_encoding else 1
        rankings: list[Ranking] = []
        for first in range(0, len(self.samples), at_once):
            samples = self.samples[first : first + at_once]
            queries = self._embed(model, [sample["query"] for sample in samples], "query", "query")
            texts = [text for sample in samples for text in sample["positive"] + sample["negative"]]
            documents = self._embed(model, texts, "document", "corpus")
            start = 0
            for i, sample in enumerate(samples):
                relevant = [1] * len(sample["positive"]) + [0] * len(sample["negative"])
                scores = score(function, queries[i : i + 1], documents[start : start + len(relevant)])
                rankings.append((relevant, scores[0].tolist()))
                start += len(relevant)
        return self._ranked(rankings)

    def _function(self, model: Any) -> Any:
        return self.similarity_fct


def checked(samples: Any, *keys: str) -> list[Mapping[str, Any]]:
    """Return samples as a list.

    Raises
    ------
    InvalidArgumentError
        A sample lacks one of the keys, or there is no sample.
    """
    listed = list(samples.values() if isinstance(samples, dict) else samples)
    for i, sample in enumerate(listed):
        for key in keys:
            if key not in sample:
                raise InvalidArgumentError(f"samples[{i}]: must have {', '.join(map(repr, keys))}, it lacks {key!r}")
    if not listed:
        raise InvalidArgumentError("samples: must not be empty")
    return listed


def texts_of(sample: Mapping[str, Any], key: str) -> list[Any]:
    """Return the texts of a sample; a single one becomes a list."""
    return [sample[key]] if isinstance(sample[key], str) else list(sample[key])


def found_ranking(documents: Sequence[Any], positive: Sequence[Any]) -> Ranking:
    """Return a search engine's ranking, positives that it lacks coming last; None if it has none of them."""
    relevant = [int(document in positive) for document in documents]
    if not any(relevant):
        return None
    relevant += [1] * (len(positive) - sum(relevant))
    return relevant, list(range(len(relevant), 0, -1))


class ReciprocalRankFusionEvaluator(Ranked):
    """Evaluator of two rankings that are fused, as of dense and sparse search: `1 / (rrf_k + rank)` is summed.

    It is called without a model.

    Parameters
    ----------
    dense_samples, sparse_samples
        Dicts with a "query_id", a "query", its "positive" documents, and the "documents" that were found, best first.
        Both lists have the same queries in the same order.
    at_k
        Rank at which MRR and NDCG are measured.
    rrf_k
        Constant of the fusion: the larger it is, the less the first ranks matter.
    name
        Beginning of the metrics' names.
    batch_size, show_progress_bar
        Without effect.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    write_predictions
        Write the fused rankings to a JSON lines file.

    Raises
    ------
    InvalidArgumentError
        A sample lacks a key, or the lists have different queries.
    """

    _settings = ("at_k", "rrf_k", "write_predictions")

    def __init__(
        self,
        dense_samples: Sequence[Mapping[str, Any]],
        sparse_samples: Sequence[Mapping[str, Any]],
        at_k: int = 10,
        rrf_k: int = 60,
        name: str = "",
        batch_size: int = 32,
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
        write_predictions: bool = False,
    ) -> None:
        super().__init__(name=name, batch_size=batch_size, show_progress_bar=show_progress_bar, write_csv=write_csv)
        keys = "query_id", "query", "positive", "documents"
        self.dense_samples, self.sparse_samples = checked(dense_samples, *keys), checked(sparse_samples, *keys)
        if [s["query_id"] for s in self.dense_samples] != [s["query_id"] for s in self.sparse_samples]:
            raise InvalidArgumentError("sparse_samples: must have the query_ids of dense_samples, in the same order")
        self.at_k, self.rrf_k = _arguments.positive("at_k", at_k), rrf_k
        self.write_predictions = write_predictions
        self.csv_file = f"ReciprocalRankFusion_evaluation{suffix(name)}_results.csv"
        self.predictions_file = f"ReciprocalRankFusion_evaluation{suffix(name)}_predictions.jsonl"

    def __call__(  # type: ignore[override]  # there is no model
        self, output_path: str | os.PathLike[str] | None = None, epoch: int = -1, steps: int = -1
    ) -> Evaluation:
        """Evaluate the rankings; see `Evaluator.__call__` for the arguments."""
        return self._evaluate(None, output_path, epoch, steps)

    def _measure(self, model: Any) -> Metrics:
        pairs = list(zip(self.dense_samples, self.sparse_samples, strict=True))
        self._fused = [self._fuse(dense["documents"], sparse["documents"]) for dense, sparse in pairs]
        positives = [texts_of(dense, "positive") for dense, _ in pairs]
        metrics: Metrics = {}
        sides = {
            "dense_": [dense["documents"] for dense, _ in pairs],
            "sparse_": [sparse["documents"] for _, sparse in pairs],
            "": self._fused,
        }
        for prefix, rankings in sides.items():
            metrics |= self._ranked(map(found_ranking, rankings, positives), prefix)
        return metrics

    def _fuse(self, dense: Sequence[Any], sparse: Sequence[Any]) -> list[Any]:
        scores: dict[Any, float] = {}
        for documents in (dense, sparse):
            for document, rank in {document: rank for rank, document in enumerate(documents, start=1)}.items():
                scores[document] = scores.get(document, 0.0) + 1 / (self.rrf_k + rank)
        return sorted(scores, key=lambda document: -scores[document])

    def _columns(self) -> list[tuple[str, str]]:
        sides = (("Dense_", "dense_"), ("Sparse_", "sparse_"), ("Fusion_", ""))
        return [column for header, prefix in sides for column in self._ranked_columns(header, prefix)]

    def _write_more(self, folder: Path) -> None:
        if not self.write_predictions:
            return
        with (folder / self.predictions_file).open("w", encoding="utf-8") as file:
            for sample, documents in zip(self.dense_samples, self._fused, strict=True):
                line = {"query_id": sample["query_id"], "query": sample["query"]}
                line |= {"positive": texts_of(sample, "positive"), "documents": documents}
                file.write(json.dumps(line) + "\n")
