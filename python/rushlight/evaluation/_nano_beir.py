"""Evaluators over NanoBEIR: thirteen small retrieval tasks, from a folder or the hub's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rushlight import _arguments
from rushlight.evaluation._base import Evaluator, suffix
from rushlight.evaluation._cross_encoder import CrossEncoderRerankingEvaluator
from rushlight.evaluation._datasets import Subsets, relevant_documents
from rushlight.evaluation._multi_vector import MultiVectorInformationRetrievalEvaluator, refuse_truncation
from rushlight.evaluation._reranking import Ranked
from rushlight.evaluation._result import Evaluation
from rushlight.evaluation._retrieval import Cutoffs, InformationRetrievalEvaluator, best_function
from rushlight.evaluation._sparse import SparseInformationRetrievalEvaluator
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from rushlight.evaluation._base import Metrics

_TASKS = (
    "ClimateFEVER",
    "DBPedia",
    "FEVER",
    "FiQA2018",
    "HotpotQA",
    "MSMARCO",
    "NFCorpus",
    "NQ",
    "QuoraRetrieval",
    "SCIDOCS",
    "ArguAna",
    "SciFact",
    "Touche2020",
)
# Names of the tasks by their lower-case forms.
DATASETS = {task.lower(): task for task in _TASKS}
# Tasks that rerankers leave out, since their documents are not ranked by relevance to a question.
_NOT_RERANKED = ("arguana", "touche2020")


class _Aggregate(Evaluator):
    """Evaluator that aggregates the metrics of one evaluator for each task."""

    evaluators: Sequence[Evaluator]
    dataset_names: list[str]
    aggregate_fn: Callable[[list[float]], float]

    def _take_names(self, names: Sequence[str] | None, default: Sequence[str]) -> None:
        self.dataset_names = list(default if names is None else names)
        if not self.dataset_names:
            raise InvalidArgumentError("dataset_names: must not be empty; None takes all tasks")
        for name in self.dataset_names:
            _arguments.one_of("dataset_names", name.lower(), tuple(DATASETS))

    def _evaluate(self, model: Any, output_path: str | os.PathLike[str] | None, epoch: int, steps: int) -> Evaluation:
        self._tasks: Metrics = {}
        self._values: dict[str, list[float]] = {}
        for evaluator in self.evaluators:
            result = evaluator(model, output_path, epoch, steps)
            self._tasks |= {**result, **result.statistics}
            for key, value in result.items():
                self._values.setdefault(key.removeprefix(f"{evaluator.name}_"), []).append(value)
        return super()._evaluate(model, output_path, epoch, steps)

    def _measure(self, model: Any) -> Metrics:
        return {key: float(self.aggregate_fn(values)) for key, values in self._values.items()}

    def _result(self, metrics: Metrics) -> Evaluation:
        """Return the aggregated metrics, after those of each task."""
        self._aggregated = super()._result(metrics)
        merged = {**self._tasks, **self._aggregated}
        return Evaluation(merged, self.primary_metric, greater_is_better=self.greater_is_better)

    def _numbers(self, metrics: Metrics, result: Evaluation) -> dict[str, float]:
        return super()._numbers(metrics, self._aggregated)

    def store_metrics_in_model_card_data(
        self, model: Any, metrics: dict[str, Any], epoch: int = 0, step: int = 0
    ) -> None:
        """Tell the model's card of the aggregated metrics, if there are several tasks."""
        if len(self.dataset_names) > 1:
            super().store_metrics_in_model_card_data(model, dict(self._aggregated), epoch, step)


class NanoBEIREvaluator(_Aggregate):
    """Evaluator of search on NanoBEIR's tasks: the metrics of each, and their mean.

    Parameters
    ----------
    dataset_names
        Names of tasks, such as "msmarco" or "scifact"; None takes all 13.
    dataset_id
        Folder of the data, or its name on the Hugging Face hub: it is taken from the cache, or else downloaded. A
        folder has `corpus`, `queries` and `qrels`, each with a parquet or JSON lines file for each task.
    mrr_at_k, ndcg_at_k, accuracy_at_k, precision_recall_at_k, map_at_k
        Ranks at which to measure.
    show_progress_bar, batch_size
        See `Model.encode`.
    write_csv
        Append lines to CSV files in the folder that a call gets.
    truncate_dim
        Number of columns to keep of embeddings.
    score_functions, main_score_function
        See `InformationRetrievalEvaluator`.
    aggregate_fn, aggregate_key
        Function of the tasks' values, and its name in the metrics' names.
    query_prompts, corpus_prompts
        Prompt for all tasks, or prompts by the name of the task.
    write_predictions
        Write the hits of each query to JSON lines files.

    Raises
    ------
    InvalidArgumentError
        A task is unknown, or has no prompt.
    ModelFormatError
        A file of the data is invalid.
    MissingDependencyError
        Parquet needs pyarrow, or the hub needs huggingface_hub, which is not installed.
    """

    information_retrieval_class: ClassVar[type[InformationRetrievalEvaluator]] = InformationRetrievalEvaluator
    _settings = ("dataset_names", "dataset_id", "truncate_dim", "query_prompts", "corpus_prompts")

    def __init__(
        self,
        dataset_names: Sequence[str] | None = None,
        dataset_id: str | os.PathLike[str] = "sentence-transformers/NanoBEIR-en",
        mrr_at_k: Sequence[int] = (10,),
        ndcg_at_k: Sequence[int] = (10,),
        accuracy_at_k: Sequence[int] = (1, 3, 5, 10),
        precision_recall_at_k: Sequence[int] = (1, 3, 5, 10),
        map_at_k: Sequence[int] = (100,),
        show_progress_bar: bool | None = False,
        batch_size: int = 32,
        write_csv: bool = True,
        truncate_dim: int | None = None,
        score_functions: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        main_score_function: str | None = None,
        aggregate_fn: Callable[[list[float]], float] = np.mean,
        aggregate_key: str = "mean",
        query_prompts: str | Mapping[str, str] | None = None,
        corpus_prompts: str | Mapping[str, str] | None = None,
        write_predictions: bool = False,
        **further: Any,
    ) -> None:
        super().__init__(show_progress_bar=show_progress_bar, write_csv=write_csv, truncate_dim=truncate_dim)
        self._take_names(dataset_names, tuple(DATASETS))
        self.dataset_id, self.aggregate_fn, self.aggregate_key = dataset_id, aggregate_fn, aggregate_key
        self.query_prompts = self._prompts("query_prompts", query_prompts)
        self.corpus_prompts = self._prompts("corpus_prompts", corpus_prompts)
        self._cutoffs = Cutoffs(mrr_at_k, ndcg_at_k, accuracy_at_k, precision_recall_at_k, map_at_k)
        self.main_score_function = getattr(main_score_function, "value", main_score_function)
        # Number of columns or of weights, which ends the names of all metrics.
        kept = further.get("max_active_dims") or truncate_dim
        self._end = suffix("" if kept is None else str(kept))
        self.name = f"NanoBEIR_{aggregate_key}{self._end}"
        self.csv_file = f"NanoBEIR_evaluation_{aggregate_key}_results.csv"
        options = {
            "mrr_at_k": mrr_at_k,
            "ndcg_at_k": ndcg_at_k,
            "accuracy_at_k": accuracy_at_k,
            "precision_recall_at_k": precision_recall_at_k,
            "map_at_k": map_at_k,
            "show_progress_bar": show_progress_bar,
            "batch_size": batch_size,
            "write_csv": write_csv,
            "truncate_dim": truncate_dim,
            "score_functions": score_functions,
            "main_score_function": main_score_function,
            "write_predictions": write_predictions,
            **further,
        }
        subsets = Subsets(dataset_id)
        self.evaluators = [self._load_dataset(name, subsets, **options) for name in self.dataset_names]

    def _prompts(self, argument: str, prompts: str | Mapping[str, str] | None) -> dict[str, str] | None:
        """Return prompts by task; those of a dict must be of all tasks."""
        if prompts is None:
            return None
        if isinstance(prompts, str):
            return dict.fromkeys(self.dataset_names, prompts)
        missing = [name for name in self.dataset_names if name not in prompts]
        if missing:
            raise InvalidArgumentError(f"{argument}: must have one for each task, it lacks {', '.join(missing)}")
        return dict(prompts)

    def _load_dataset(self, name: str, subsets: Subsets, **options: Any) -> InformationRetrievalEvaluator:
        task = f"Nano{DATASETS[name.lower()]}"
        corpus = {row["_id"]: row["text"] for row in subsets.rows("corpus", task, "_id", "text") if row["text"]}
        queries = {row["_id"]: row["text"] for row in subsets.rows("queries", task, "_id", "text") if row["text"]}
        relevant = relevant_documents(subsets.rows("qrels", task, "query-id", "corpus-id"))
        prompts = {"query_prompt": self.query_prompts, "corpus_prompt": self.corpus_prompts}
        options |= {key: by_name[name] for key, by_name in prompts.items() if by_name is not None}
        return self.information_retrieval_class(queries, corpus, relevant, name=task + self._end, **options)

    def _primary(self, metrics: Metrics) -> str:
        if self.main_score_function is not None:
            return self._cutoffs.primary(self.main_score_function)
        return best_function(metrics, self._cutoffs, self._names())

    def _columns(self) -> list[tuple[str, str]]:
        return self._cutoffs.columns(self._names())

    def _names(self) -> list[str]:
        first = self.evaluators[0]
        return first.score_function_names if isinstance(first, InformationRetrievalEvaluator) else []


class SparseNanoBEIREvaluator(NanoBEIREvaluator):
    """`NanoBEIREvaluator` of sparse models, with `max_active_dims`, and figures of sparsity."""

    information_retrieval_class = SparseInformationRetrievalEvaluator
    _settings = ("dataset_names", "dataset_id", "max_active_dims", "query_prompts", "corpus_prompts")

    def __init__(self, *args: Any, max_active_dims: int | None = None, **kwargs: Any) -> None:
        self.max_active_dims = max_active_dims
        super().__init__(*args, max_active_dims=max_active_dims, **kwargs)

    def _measure(self, model: Any) -> Metrics:
        """Return the mean metrics, and figures of sparsity over all texts."""
        metrics = super()._measure(model)
        parts = [each for each in self.evaluators if isinstance(each, SparseInformationRetrievalEvaluator)]
        for side in ("query", "corpus"):
            weights = [each.count_lengths[side] for each in parts]
            for name in ("active_dims", "sparsity_ratio"):
                metrics[f"{side}_{name}"] = float(np.average(self._values[f"{side}_{name}"], weights=weights))
        query, corpus = (self._shares(parts, side) for side in ("query", "corpus"))
        metrics["avg_flops"] = float(query @ corpus)
        return metrics

    @staticmethod
    def _shares(parts: Sequence[SparseInformationRetrievalEvaluator], side: str) -> NDArray[np.float64]:
        """Return the share of embeddings of all tasks with a weight in each column."""
        counts = np.sum([each.count_vectors[side] for each in parts], axis=0)
        shares: NDArray[np.float64] = counts / sum(each.count_lengths[side] for each in parts)
        return shares

    def _seen_columns(self) -> list[tuple[str, str]]:
        return self.evaluators[0]._seen_columns()


class MultiVectorNanoBEIREvaluator(NanoBEIREvaluator):
    """`NanoBEIREvaluator` of models with a vector per token.

    `corpus_chunk_size` and `chunk_elements` are those of `MultiVectorInformationRetrievalEvaluator`.
    """

    information_retrieval_class = MultiVectorInformationRetrievalEvaluator

    def __init__(
        self, *args: Any, corpus_chunk_size: int = 5000, chunk_elements: int | None = None, **kwargs: Any
    ) -> None:
        refuse_truncation(kwargs)
        super().__init__(*args, corpus_chunk_size=corpus_chunk_size, chunk_elements=chunk_elements, **kwargs)


class CrossEncoderNanoBEIREvaluator(_Aggregate, Ranked):
    """Evaluator of a reranker on NanoBEIR's tasks: reranks the documents that BM25 found.

    Parameters
    ----------
    dataset_names
        Names of tasks; None takes all but "arguana" and "touche2020".
    dataset_id
        See `NanoBEIREvaluator`; the data have `bm25`, too.
    rerank_k
        Number of documents to rerank.
    at_k
        Rank at which MRR and NDCG are measured.
    always_rerank_positives
        Rerank positives that BM25 did not find, too.
    prompt_name
        Name of the model's prompt.
    batch_size, show_progress_bar
        See `Reranker.predict`.
    write_csv
        Append lines to CSV files in the folder that a call gets.
    aggregate_fn, aggregate_key
        Function of the tasks' values, and its name in the metrics' names.
    """

    _settings = ("dataset_names", "dataset_id", "rerank_k", "at_k", "always_rerank_positives")

    def __init__(
        self,
        dataset_names: Sequence[str] | None = None,
        dataset_id: str | os.PathLike[str] = "sentence-transformers/NanoBEIR-en",
        rerank_k: int = 100,
        at_k: int = 10,
        always_rerank_positives: bool = True,
        prompt_name: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
        aggregate_fn: Callable[[list[float]], float] = np.mean,
        aggregate_key: str = "mean",
    ) -> None:
        super().__init__(write_csv=write_csv)
        self._take_names(dataset_names, [name for name in DATASETS if name not in _NOT_RERANKED])
        self.dataset_id, self.aggregate_fn, self.aggregate_key = dataset_id, aggregate_fn, aggregate_key
        self.rerank_k, self.at_k = _arguments.positive("rerank_k", rerank_k), _arguments.positive("at_k", at_k)
        self.always_rerank_positives = always_rerank_positives
        self.name = f"NanoBEIR_R{rerank_k}_{aggregate_key}"
        self.csv_file = f"NanoBEIR_evaluation_{aggregate_key}_results.csv"
        options = {
            "at_k": at_k,
            "always_rerank_positives": always_rerank_positives,
            "prompt_name": prompt_name,
            "batch_size": batch_size,
            "show_progress_bar": show_progress_bar,
            "write_csv": write_csv,
        }
        subsets = Subsets(dataset_id)
        self.evaluators = [self._load_dataset(name, subsets, options) for name in self.dataset_names]

    def _load_dataset(self, name: str, subsets: Subsets, options: Mapping[str, Any]) -> CrossEncoderRerankingEvaluator:
        task = f"Nano{DATASETS[name.lower()]}"
        corpus = {row["_id"]: row["text"] for row in subsets.rows("corpus", task, "_id", "text")}
        queries = {row["_id"]: row["text"] for row in subsets.rows("queries", task, "_id", "text")}
        relevant = relevant_documents(subsets.rows("qrels", task, "query-id", "corpus-id"))
        samples = [
            {
                "query": queries[row["query-id"]],
                "positive": [corpus[document] for document in sorted(relevant[row["query-id"]])],
                "documents": [corpus[document] for document in row["corpus-ids"][: self.rerank_k]],
            }
            for row in subsets.rows("bm25", task, "query-id", "corpus-ids")
            if row["query-id"] in relevant
        ]
        return CrossEncoderRerankingEvaluator(samples, name=f"{task}_R{self.rerank_k}", **options)
