"""Evaluators of models with a vector per token."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, _core
from rushlight.evaluation import _statistics as statistics
from rushlight.evaluation._base import Evaluator, same_length, suffix
from rushlight.evaluation._embeddings import pairwise, take
from rushlight.evaluation._reranking import RerankingEvaluator
from rushlight.evaluation._retrieval import InformationRetrievalEvaluator
from rushlight.evaluation._statistics import Statistic, mean
from rushlight.evaluation._triplets import TripletEvaluator
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from rushlight.evaluation._base import Metrics

logger = logging.getLogger("rushlight")


def refuse_truncation(options: Mapping[str, Any]) -> None:
    """Raise `InvalidArgumentError` for a `truncate_dim`."""
    if options.get("truncate_dim") is not None:
        raise InvalidArgumentError("truncate_dim: vectors of tokens are not truncated")


class MultiVectorInformationRetrievalEvaluator(InformationRetrievalEvaluator):
    """`InformationRetrievalEvaluator` of models with a vector per token, by "maxsim".

    Parameters
    ----------
    queries, corpus, relevant_docs
        See `InformationRetrievalEvaluator`.
    corpus_chunk_size
        Number of documents to embed at a time.
    chunk_elements
        At least 1, without effect: token scores are never materialized.
    score_functions
        Names with functions of lists of arrays; None is the model's own.
    **kwargs
        Other arguments of `InformationRetrievalEvaluator`.
    """

    def __init__(
        self,
        queries: Mapping[str, Any],
        corpus: Mapping[str, Any],
        relevant_docs: Mapping[str, Any],
        *,
        corpus_chunk_size: int = 5000,
        chunk_elements: int | None = None,
        score_functions: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_truncation(kwargs)
        self.chunk_elements = _arguments.optional_positive("chunk_elements", chunk_elements)
        if chunk_elements is not None and score_functions is not None:
            raise InvalidArgumentError(
                "chunk_elements only configures the model's own score; score_functions are given"
            )
        options = {"corpus_chunk_size": corpus_chunk_size, "score_functions": score_functions, **kwargs}
        super().__init__(queries, corpus, relevant_docs, **options)

    def _measure(self, model: Any) -> Metrics:
        own = getattr(model, "prompts", {})
        for argument, role in (("query_prompt", "query"), ("corpus_prompt", "document")):
            given, name = (
                getattr(self, argument),
                next((name for name in _core.prompt_names(role) if own.get(name)), ""),
            )
            if given is not None and name and not given.startswith(own[name]):
                logger.warning("%s replaces the model's registered %r prompt, %r", argument, name, own[name])
        return super()._measure(model)


class MultiVectorTripletEvaluator(TripletEvaluator):
    """`TripletEvaluator` of models with a vector per token, by "maxsim" or "meanmaxsim"."""

    _known = ("maxsim", "meanmaxsim")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_truncation(kwargs)
        super().__init__(*args, **kwargs)


class MultiVectorRerankingEvaluator(RerankingEvaluator):
    """`RerankingEvaluator` of models with a vector per token.

    Parameters
    ----------
    samples, at_k, name, write_csv, batch_size, show_progress_bar, use_batched_encoding
        See `RerankingEvaluator`.
    similarity_fct
        Function of lists of arrays; None is the model's own.
    """

    def __init__(
        self,
        samples: Sequence[Mapping[str, Any]],
        *,
        at_k: int = 10,
        name: str = "",
        write_csv: bool = True,
        similarity_fct: Callable[[Any, Any], Any] | None = None,
        batch_size: int = 16,
        show_progress_bar: bool | None = False,
        use_batched_encoding: bool = True,
    ) -> None:
        super().__init__(
            samples,
            at_k=at_k,
            name=name,
            write_csv=write_csv,
            similarity_fct=similarity_fct,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            use_batched_encoding=use_batched_encoding,
        )

    def _function(self, model: Any) -> Any:
        name = str(getattr(model.similarity_fn_name, "value", model.similarity_fn_name))
        return name if self.similarity_fct is None else self.similarity_fct


class MultiVectorDistillationEvaluator(Evaluator):
    """Evaluator of a student: the divergence of its scores from a teacher's, and their rank correlation.

    Parameters
    ----------
    queries
        Texts.
    documents
        A list of documents for each query, all of the same length, or one document for each.
    scores
        The teacher's scores, in the shape of the documents.
    temperature
        Divisor of scores before the softmax; `student_temperature` and `teacher_temperature` override it for a side.
    similarity_fct
        Function of two lists of arrays that scores them pair by pair; None is the model's own.
    name
        Beginning of the metrics' names.
    batch_size, show_progress_bar
        See `MultiVectorModel.encode_query`.
    write_csv
        Append a line to a CSV file in the folder that a call gets.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty, or a temperature is not above 0.
    """

    _settings: tuple[str, ...] = ()

    def __init__(
        self,
        queries: Sequence[Any],
        documents: Sequence[Any],
        scores: Any,
        *,
        temperature: float = 1.0,
        student_temperature: float | None = None,
        teacher_temperature: float | None = None,
        similarity_fct: Callable[[Any, Any], Any] | None = None,
        name: str = "",
        batch_size: int = 16,
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
    ) -> None:
        super().__init__(name=name, batch_size=batch_size, show_progress_bar=show_progress_bar, write_csv=write_csv)
        same_length(queries=queries, documents=documents, scores=scores)
        self.queries = list(queries)
        self.nested_documents = isinstance(documents[0], (list, tuple))
        self.documents = [list(row) if self.nested_documents else [row] for row in documents]
        self.scores = _scores(scores, self.documents, self.nested_documents)
        self.temperature = _temperature("temperature", temperature)
        self.student_temperature = _temperature("student_temperature", student_temperature or temperature)
        self.teacher_temperature = _temperature("teacher_temperature", teacher_temperature or temperature)
        self.similarity_fct = similarity_fct
        self.csv_file = f"distillation_evaluation{suffix(name)}_results.csv"

    def _measure(self, model: Any) -> Metrics:
        queries = self._embed(model, self.queries, "query")
        flat = self._embed(model, [document for row in self.documents for document in row], "document")
        ways = len(self.documents[0])
        positions = np.arange(len(flat)).reshape(-1, ways)
        function = self.similarity_fct or (lambda a, b: pairwise(str(model.similarity_fn_name), a, b))
        columns = [np.asarray(function(queries, take(flat, positions[:, way]))) for way in range(ways)]
        student = np.stack(columns, axis=1).astype(np.float64)
        if not self.nested_documents:  # one distribution over all queries
            return self._of_one(student[:, 0])
        divergence = (
            _divergence(self.scores / self.teacher_temperature, student / self.student_temperature)
            * self.student_temperature**2
        )
        pairs = zip(self.scores, student, strict=True)
        correlations = np.array([statistics.spearman(teacher, row) for teacher, row in pairs])
        return {"kl_divergence": mean(divergence), "spearman": Statistic(_mean_of_numbers, (correlations,))}

    def _of_one(self, student: NDArray[np.float64]) -> Metrics:
        teacher = self.scores[:, 0]
        divergence = _divergence(teacher[None] / self.teacher_temperature, student[None] / self.student_temperature)
        correlation = Statistic(_spearman_or_zero, (teacher, student))
        return {"kl_divergence": float(divergence[0]) * self.student_temperature**2, "spearman": correlation}

    def _primary(self, metrics: Metrics) -> str:
        return "spearman"

    def _columns(self) -> list[tuple[str, str]]:
        return [(name, name) for name in ("kl_divergence", "spearman")]

    def get_config_dict(self) -> dict[str, Any]:
        """Return settings that belong on a model card."""
        common = {} if self.temperature == 1.0 else {"temperature": self.temperature}
        own = {name: getattr(self, name) for name in ("student_temperature", "teacher_temperature")}
        return {**common, **{name: value for name, value in own.items() if value != self.temperature}}


def _scores(scores: Any, documents: list[list[Any]], nested: bool) -> NDArray[np.float64]:
    ways = len(documents[0])
    for i, row in enumerate(documents):
        if len(row) != ways or not row:
            raise InvalidArgumentError(f"documents[{i}]: must be as many as of the first query, {ways}, got {len(row)}")
    expected = (len(documents), ways) if nested else (len(documents),)
    given = scores.detach().cpu().numpy() if hasattr(scores, "detach") else scores
    shape = np.shape(given)
    if shape != expected:
        raise InvalidArgumentError(f"scores: must have shape {expected}, got {shape}")
    return np.asarray(given, dtype=np.float64).reshape(-1, ways)


def _temperature(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise InvalidArgumentError(f"{name}: must be a finite number above 0, got {value!r}")
    return value


def _divergence(teacher: NDArray[np.float64], student: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Kullback-Leibler divergence of each row's softmax."""
    log_teacher, log_student = _log_softmax(teacher), _log_softmax(student)
    divergence: NDArray[np.float64] = (np.exp(log_teacher) * (log_teacher - log_student)).sum(axis=1)
    return divergence


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _mean_of_numbers(values: NDArray[np.float64]) -> float:
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else 0.0


def _spearman_or_zero(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    return float(np.nan_to_num(statistics.spearman(labels, scores)))
