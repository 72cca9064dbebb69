"""Evaluators of rerankers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.evaluation import _statistics as statistics
from rushlight.evaluation._base import Evaluator, same_length, suffix, unpacked
from rushlight.evaluation._pairs import binary_labels, threshold_metrics
from rushlight.evaluation._reranking import Ranked, checked, found_ranking, texts_of
from rushlight.evaluation._statistics import Statistic
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from rushlight.evaluation._base import Metrics
    from rushlight.evaluation._reranking import Ranking


class Scoring(Evaluator):
    """Evaluator of a model that scores pairs of texts."""

    prompt_name: str | None = None

    def _predict(self, model: Any, pairs: Sequence[Any]) -> NDArray[Any]:
        options: dict[str, Any] = {"batch_size": self.batch_size, "show_progress_bar": self.show_progress_bar}
        if self.prompt_name is not None:
            options["prompt_name"] = self.prompt_name
        return np.asarray(model.predict(list(pairs), **options))


class CrossEncoderClassificationEvaluator(Scoring):
    """Evaluator of a reranker that classifies pairs: thresholds for one label, F1 for several.

    Parameters
    ----------
    sentence_pairs
        Pairs of texts.
    labels
        Class of each pair; 0 or 1 for a model with one label.
    name
        Beginning of the metrics' names.
    prompt_name
        Name of the model's prompt.
    batch_size, show_progress_bar
        See `Reranker.predict`.
    write_csv
        Append a line to a CSV file in the folder that a call gets.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty, or a label is neither 0 nor 1.
    """

    def __init__(
        self,
        sentence_pairs: Sequence[Any],
        labels: Sequence[int],
        *,
        name: str = "",
        prompt_name: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        write_csv: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, batch_size=batch_size, show_progress_bar=show_progress_bar, write_csv=write_csv)
        _ = kwargs  # of older versions of sentence-transformers, which ignores them
        same_length(sentence_pairs=sentence_pairs, labels=labels)
        self.sentence_pairs, self.labels = sentence_pairs, np.asarray(labels)
        self.prompt_name = prompt_name
        self.csv_file = f"CrossEncoderClassificationEvaluator{suffix(name)}_results.csv"
        self._headers: list[tuple[str, str]] = []

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> Self:
        """Return an evaluator of objects with `texts` and `label`."""
        return cls(*unpacked(examples), **kwargs)

    def _measure(self, model: Any) -> Metrics:
        scores = self._predict(model, self.sentence_pairs)
        if model.num_labels == 1:
            labels = binary_labels(self.labels.tolist())
            metrics = threshold_metrics(scores, labels)
            metrics["average_precision"] = Statistic(statistics.average_precision, (labels, scores))
            self._headers = [("_".join(map(_headline, key.split("_"))), key) for key in metrics]
            return metrics
        predicted = scores.argmax(axis=1)
        kinds = ("macro", "micro", "weighted")
        self._headers = [(f"{kind.capitalize()}_F1", f"f1_{kind}") for kind in kinds]
        return {
            f"f1_{kind}": Statistic(functools.partial(statistics.f1, average=kind), (self.labels, predicted))
            for kind in kinds
        }

    def _primary(self, metrics: Metrics) -> str:
        return "average_precision" if "average_precision" in metrics else "f1_macro"

    def _columns(self) -> list[tuple[str, str]]:
        return self._headers


def _headline(word: str) -> str:
    return word.upper() if word == "f1" else word.capitalize()


class CrossEncoderCorrelationEvaluator(Scoring):
    """Evaluator of a reranker that grades pairs: correlates its scores with given ones.

    Parameters
    ----------
    sentence_pairs
        Pairs of texts.
    scores
        Score of each pair by human judgement, on any scale.
    name
        Beginning of the metrics' names.
    prompt_name
        Name of the model's prompt.
    batch_size, show_progress_bar
        See `Reranker.predict`.
    write_csv
        Append a line to a CSV file in the folder that a call gets.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty, or the model has several labels.
    """

    def __init__(
        self,
        sentence_pairs: Sequence[Any],
        scores: Sequence[float],
        name: str = "",
        prompt_name: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        write_csv: bool = True,
    ) -> None:
        super().__init__(name=name, batch_size=batch_size, show_progress_bar=show_progress_bar, write_csv=write_csv)
        same_length(sentence_pairs=sentence_pairs, scores=scores)
        self.sentence_pairs, self.scores = sentence_pairs, scores
        self.prompt_name = prompt_name
        self.csv_file = f"CrossEncoderCorrelationEvaluator{suffix(name)}_results.csv"

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> Self:
        """Return an evaluator of objects with `texts` and `label`."""
        return cls(*unpacked(examples), **kwargs)

    def _measure(self, model: Any) -> Metrics:
        scores = self._predict(model, self.sentence_pairs)
        if scores.ndim != 1:
            raise InvalidArgumentError(f"model: must have one label, got {scores.shape[1]}")
        arrays = np.asarray(self.scores, dtype=np.float64), scores
        return {
            "pearson": Statistic(statistics.pearson, arrays),
            "spearman": Statistic(statistics.spearman, arrays),
        }

    def _primary(self, metrics: Metrics) -> str:
        return "spearman"

    def _columns(self) -> list[tuple[str, str]]:
        return [("Pearson_Correlation", "pearson"), ("Spearman_Correlation", "spearman")]


class CrossEncoderRerankingEvaluator(Ranked, Scoring):
    """Evaluator of a reranker: the order of each query's documents by its scores.

    Parameters
    ----------
    samples
        Dicts with a "query", its "positive" documents, and either "negative" ones, or the "documents" that a search
        found, best first; those are measured as they are, too, as `base_`.
    at_k
        Rank at which MRR and NDCG are measured.
    always_rerank_positives
        Rerank positives that the search did not find, too.
    name
        Beginning of the metrics' names.
    prompt_name
        Name of the model's prompt.
    batch_size, show_progress_bar
        See `Reranker.predict`.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    mrr_at_k
        Older name of `at_k`.

    Raises
    ------
    InvalidArgumentError
        A sample lacks a key, or has both "negative" and "documents".
    """

    def __init__(
        self,
        samples: Sequence[Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]],
        at_k: int = 10,
        always_rerank_positives: bool = True,
        name: str = "",
        prompt_name: str | None = None,
        batch_size: int = 64,
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
        mrr_at_k: int | None = None,
    ) -> None:
        super().__init__(name=name, batch_size=batch_size, show_progress_bar=show_progress_bar, write_csv=write_csv)
        self.samples = checked(samples, "query", "positive")
        for i, sample in enumerate(self.samples):
            if ("negative" in sample) == ("documents" in sample):
                raise InvalidArgumentError(f"samples[{i}]: must have either 'negative' or 'documents'")
        self.at_k = _arguments.positive("at_k", at_k if mrr_at_k is None else mrr_at_k)
        self.always_rerank_positives = always_rerank_positives
        self.prompt_name = prompt_name
        self.csv_file = f"CrossEncoderRerankingEvaluator{suffix(name)}_results_@{self.at_k}.csv"

    def _measure(self, model: Any) -> Metrics:
        tasks = [self._documents(sample) for sample in self.samples]
        pairs = [
            (sample["query"], text)
            for sample, (texts, relevant) in zip(self.samples, tasks, strict=True)
            if any(relevant)
            for text in texts
        ]
        scores = self._predict(model, pairs) if pairs else np.empty(0)
        rankings: list[Ranking] = []
        start = 0
        for _, relevant in tasks:
            stop = start + len(relevant) * any(relevant)
            rankings.append((relevant, scores[start:stop].tolist()) if stop > start else None)
            start = stop
        metrics = self._ranked(rankings)
        searched = [sample for sample in self.samples if sample.get("documents")]
        if searched:
            base = [found_ranking(sample["documents"], texts_of(sample, "positive")) for sample in searched]
            metrics |= self._ranked(base, "base_")
        return metrics

    def _documents(self, sample: Mapping[str, Any]) -> tuple[list[Any], list[int]]:
        """Return the documents to rerank, with their relevance."""
        positive = texts_of(sample, "positive")
        if not sample.get("documents"):
            negative = texts_of(sample, "negative") if "negative" in sample else []
            return positive + negative, [1] * len(positive) + [0] * len(negative)
        documents = list(sample["documents"])
        if self.always_rerank_positives:
            documents = positive + [text for text in documents if text not in positive]
            return documents, [1] * len(positive) + [0] * (len(documents) - len(positive))
        return documents, [int(text in positive) for text in documents]

    def get_config_dict(self) -> dict[str, Any]:
        """Return settings that belong on a model card."""
        always = {"always_rerank_positives": self.always_rerank_positives} if "documents" in self.samples[0] else {}
        return {"at_k": self.at_k, **always}
