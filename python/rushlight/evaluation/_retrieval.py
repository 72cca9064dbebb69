"""Evaluator of search: queries, a corpus, and the documents that are relevant to each query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.evaluation._base import Evaluator, suffix
from rushlight.evaluation._embeddings import as_arrays, merged, nearest, scorer, take
from rushlight.evaluation._statistics import Statistic, mean
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from numpy.typing import NDArray

    from rushlight.evaluation._base import Metrics
    from rushlight.evaluation._result import Evaluation

    _Hits = tuple[NDArray[np.int64], NDArray[np.float32]]


class Cutoffs:
    """Ranks at which retrieval is measured."""

    def __init__(
        self,
        mrr_at_k: Sequence[int],
        ndcg_at_k: Sequence[int],
        accuracy_at_k: Sequence[int],
        precision_recall_at_k: Sequence[int],
        map_at_k: Sequence[int],
    ) -> None:
        given = {
            "mrr_at_k": mrr_at_k,
            "ndcg_at_k": ndcg_at_k,
            "accuracy_at_k": accuracy_at_k,
            "precision_recall_at_k": precision_recall_at_k,
            "map_at_k": map_at_k,
        }
        checked = {name: [_arguments.positive(name, k) for k in ks] for name, ks in given.items()}
        if not checked["ndcg_at_k"]:
            raise InvalidArgumentError("ndcg_at_k: must not be empty: the largest one is the primary metric")
        self.mrr, self.ndcg, self.accuracy, self.precision_recall, self.map = checked.values()
        self.largest = max(k for ks in checked.values() for k in ks)

    def primary(self, function: str) -> str:
        """Return the name of the primary metric by a score function."""
        return f"{function}_ndcg@{max(self.ndcg)}"

    def columns(self, functions: Iterable[str]) -> list[tuple[str, str]]:
        """Return the columns of a CSV file, with the metric of each."""
        kinds = [
            *(("Accuracy", k) for k in self.accuracy),
            *((kind, k) for k in self.precision_recall for kind in ("Precision", "Recall")),
            *(("MRR", k) for k in self.mrr),
            *(("NDCG", k) for k in self.ndcg),
            *(("MAP", k) for k in self.map),
        ]
        return [(f"{name}-{kind}@{k}", f"{name}_{kind.lower()}@{k}") for name in functions for kind, k in kinds]

    def measure(self, relevant: NDArray[np.bool_], totals: NDArray[np.int64]) -> Metrics:
        """Return the metrics of rankings.

        Parameters
        ----------
        relevant
            `(queries, ranks)`: True for each relevant hit.
        totals
            Number of relevant documents of each query, at least 1.
        """
        found = np.cumsum(relevant, axis=1)
        ranks = np.arange(1, relevant.shape[1] + 1)
        gains = np.cumsum(1 / np.log2(np.arange(2, self.largest + 2)))
        gain = np.cumsum(relevant / np.log2(ranks + 1), axis=1)
        precision = np.cumsum(relevant * found / ranks, axis=1)
        first = np.where(relevant.any(axis=1), relevant.argmax(axis=1) + 1, np.inf)

        def until(values: NDArray[Any], k: int) -> NDArray[Any]:
            """Return running sums at rank k, or at the last rank."""
            if not values.shape[1]:
                return np.zeros(len(values))
            last: NDArray[Any] = values[:, min(k, values.shape[1]) - 1]
            return last

        metrics: Metrics = {f"accuracy@{k}": mean(until(found, k) > 0) for k in self.accuracy}
        metrics |= {f"precision@{k}": mean(until(found, k) / k) for k in self.precision_recall}
        metrics |= {f"recall@{k}": mean(until(found, k) / totals) for k in self.precision_recall}
        metrics |= {f"ndcg@{k}": mean(until(gain, k) / gains[np.minimum(totals, k) - 1]) for k in self.ndcg}
        metrics |= {f"mrr@{k}": mean(np.where(first <= k, 1 / first, 0)) for k in self.mrr}
        metrics |= {f"map@{k}": mean(until(precision, k) / np.minimum(totals, k)) for k in self.map}
        return metrics


class InformationRetrievalEvaluator(Evaluator):
    """Evaluator of search over a corpus.

    The corpus is embedded and searched chunk by chunk, and the best hits of each query are kept, so memory doesn't grow
    with the number of scores.

    Parameters
    ----------
    queries, corpus
        Texts by id.
    relevant_docs
        Ids of the relevant documents, by the id of the query; queries without any are left out.
    corpus_chunk_size
        Number of documents to embed at a time.
    mrr_at_k, ndcg_at_k, accuracy_at_k, precision_recall_at_k, map_at_k
        Ranks at which to measure.
    show_progress_bar, batch_size
        See `Model.encode`.
    name
        Beginning of the metrics' names.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    truncate_dim
        Number of columns to keep of embeddings.
    score_functions
        Names with functions, such as `{"cosine": rushlight.util.cos_sim}`; None is the model's own.
    main_score_function
        Function of the primary metric; None is the one with the best NDCG.
    query_prompt, query_prompt_name, corpus_prompt, corpus_prompt_name
        Prompts; None are the model's own for queries and documents.
    write_predictions
        Write the hits of each query to a JSON lines file.

    Raises
    ------
    InvalidArgumentError
        No query has a relevant document, a rank is below 1, or a name is unknown.
    """

    _settings: tuple[str, ...] = (
        "truncate_dim",
        "query_prompt",
        "query_prompt_name",
        "corpus_prompt",
        "corpus_prompt_name",
    )

    def __init__(
        self,
        queries: Mapping[str, Any],
        corpus: Mapping[str, Any],
        relevant_docs: Mapping[str, AbstractSet[str]],
        corpus_chunk_size: int = 50000,
        mrr_at_k: Sequence[int] = (10,),
        ndcg_at_k: Sequence[int] = (10,),
        accuracy_at_k: Sequence[int] = (1, 3, 5, 10),
        precision_recall_at_k: Sequence[int] = (1, 3, 5, 10),
        map_at_k: Sequence[int] = (100,),
        show_progress_bar: bool | None = False,
        batch_size: int = 32,
        name: str = "",
        write_csv: bool = True,
        truncate_dim: int | None = None,
        score_functions: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        main_score_function: str | None = None,
        query_prompt: str | None = None,
        query_prompt_name: str | None = None,
        corpus_prompt: str | None = None,
        corpus_prompt_name: str | None = None,
        write_predictions: bool = False,
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        self.queries_ids = [query for query in queries if relevant_docs.get(query)]
        if not self.queries_ids or not corpus:
            raise InvalidArgumentError("relevant_docs: must have a document of the corpus for at least one query")
        self.queries = [queries[query] for query in self.queries_ids]
        self.corpus_ids = list(corpus)
        self.corpus = [corpus[document] for document in self.corpus_ids]
        self.relevant_docs = relevant_docs
        self.corpus_chunk_size = _arguments.positive("corpus_chunk_size", corpus_chunk_size)
        self._cutoffs = Cutoffs(mrr_at_k, ndcg_at_k, accuracy_at_k, precision_recall_at_k, map_at_k)
        self.mrr_at_k, self.ndcg_at_k, self.accuracy_at_k = mrr_at_k, ndcg_at_k, accuracy_at_k
        self.precision_recall_at_k, self.map_at_k = precision_recall_at_k, map_at_k
        self.write_predictions = write_predictions
        self.score_functions = None if score_functions is None else dict(score_functions)
        self.score_function_names = sorted(self.score_functions or {})
        self.main_score_function = getattr(main_score_function, "value", main_score_function)
        self.query_prompt, self.query_prompt_name = query_prompt, query_prompt_name
        self.corpus_prompt, self.corpus_prompt_name = corpus_prompt, corpus_prompt_name
        self.csv_file = f"Information-Retrieval_evaluation{suffix(name)}_results.csv"
        self.predictions_file = f"Information-Retrieval_evaluation{suffix(name)}_predictions.jsonl"
        self._hits: dict[str, _Hits] = {}

    def __call__(
        self,
        model: Any,
        output_path: str | os.PathLike[str] | None = None,
        epoch: int = -1,
        steps: int = -1,
        corpus_model: Any = None,
        corpus_embeddings: Any = None,
    ) -> Evaluation:
        """Evaluate a model; see `Evaluator.__call__`.

        Parameters
        ----------
        model, output_path, epoch, steps
            As for all evaluators.
        corpus_model
            Model that embeds the corpus, if it is another one.
        corpus_embeddings
            Embeddings of the corpus in its order, instead of embedding it.
        """
        self._corpus_model, self._corpus_embeddings = corpus_model or model, corpus_embeddings
        try:
            return self._evaluate(model, output_path, epoch, steps)
        finally:
            self._hits = {}
            del self._corpus_model, self._corpus_embeddings

    def _functions(self, model: Any) -> dict[str, Any]:
        """Return score functions by name; they are names of rushlight's own or callables on arrays."""
        if self.score_functions is None:
            name = str(getattr(model.similarity_fn_name, "value", model.similarity_fn_name))
            self.score_function_names = [name]
            return {name: name}
        return {name: scorer(model, function) for name, function in self.score_functions.items()}

    def _measure(self, model: Any) -> Metrics:
        functions = self._functions(model)
        if self.main_score_function is not None:
            _arguments.one_of("main_score_function", self.main_score_function, tuple(functions))
        self._search(model, functions)
        totals = np.array([len(self.relevant_docs[query]) for query in self.queries_ids])
        metrics: Metrics = {}
        for name, (ids, _) in self._hits.items():
            relevant = np.array(
                [
                    [self.corpus_ids[i] in self.relevant_docs[query] for i in row]
                    for query, row in zip(self.queries_ids, ids.tolist(), strict=True)
                ]
            ).reshape(ids.shape)
            metrics |= {f"{name}_{key}": metric for key, metric in self._cutoffs.measure(relevant, totals).items()}
        return metrics

    def _search(self, model: Any, functions: dict[str, Any]) -> None:
        """Find the best hits of each query; equal scores are in the order of the documents' ids."""
        prompts = {"prompt": self.query_prompt, "prompt_name": self.query_prompt_name}
        queries = self._embed(model, self.queries, "query", "query", **prompts)
        order = np.array(sorted(range(len(self.corpus_ids)), key=self.corpus_ids.__getitem__), dtype=np.int64)
        top_k = self._cutoffs.largest
        self._hits = {}
        for rows, embeddings in self._corpus_chunks(order):
            for name, function in functions.items():
                ids, scores = nearest(function, queries, embeddings, top_k)
                found = rows[ids], scores
                self._hits[name] = merged(self._hits[name], found, top_k) if name in self._hits else found

    def _corpus_chunks(self, order: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Any]]:
        prompts = {"prompt": self.corpus_prompt, "prompt_name": self.corpus_prompt_name}
        given = None if self._corpus_embeddings is None else as_arrays(self._corpus_embeddings)
        for first in range(0, len(order), self.corpus_chunk_size):
            rows = order[first : first + self.corpus_chunk_size]
            if given is None:
                texts = [self.corpus[i] for i in rows]
                yield rows, self._embed(self._corpus_model, texts, "document", "corpus", **prompts)
            else:
                embeddings = take(given, rows)
                self._seen("corpus", embeddings)
                yield rows, embeddings

    def _primary(self, metrics: Metrics) -> str:
        if self.main_score_function is not None:
            return self._cutoffs.primary(self.main_score_function)
        return best_function(metrics, self._cutoffs, self.score_function_names)

    def _columns(self) -> list[tuple[str, str]]:
        return self._cutoffs.columns(self.score_function_names)

    def _write_more(self, folder: Path) -> None:
        if not self.write_predictions:
            return
        for name, (ids, scores) in self._hits.items():
            path = folder / self.predictions_file.replace(".jsonl", f"_{name}.jsonl")
            with path.open("w", encoding="utf-8") as file:
                for query, text, row, best in zip(self.queries_ids, self.queries, ids, scores.tolist(), strict=True):
                    pairs = zip((self.corpus_ids[i] for i in row), best, strict=True)
                    results = [{"corpus_id": document, "score": score} for document, score in pairs]
                    file.write(json.dumps({"query_id": query, "query": text, "results": results}) + "\n")


def best_function(metrics: Metrics, cutoffs: Cutoffs, names: Sequence[str]) -> str:
    """Return the primary metric by the score function whose value is the largest; the first one of equals."""
    found = {cutoffs.primary(name): metrics[cutoffs.primary(name)] for name in names}
    return max(found, key=lambda key: m() if isinstance(m := found[key], Statistic) else m)
