"""Evaluators of the distance between the embeddings of a student and of its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight._sparse_embeddings import SparseEmbeddings
from rushlight.evaluation._base import Evaluator, same_length, suffix
from rushlight.evaluation._statistics import Statistic, mean
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from rushlight.evaluation._base import Metrics


class MSEEvaluator(Evaluator):
    """Evaluator of a student: the mean squared distance to the teacher's embeddings, times -100.

    Parameters
    ----------
    source_sentences, target_sentences
        Texts that the teacher embeds at once, and those that the student embeds at each call, such as translations.
    teacher_model
        Model to compare with.
    show_progress_bar, batch_size
        See `Model.encode`.
    name
        Beginning of the metrics' names.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    truncate_dim
        Number of columns to keep of embeddings.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty, or the embeddings differ in width.
    """

    def __init__(
        self,
        source_sentences: Sequence[Any],
        target_sentences: Sequence[Any],
        teacher_model: Any = None,
        show_progress_bar: bool | None = False,
        batch_size: int = 32,
        name: str = "",
        write_csv: bool = True,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        same_length(source_sentences=source_sentences, target_sentences=target_sentences)
        self.target_sentences = target_sentences
        self.csv_file = f"mse_evaluation_{name}_results.csv"
        self.source_embeddings = _dense(self._embed(_teacher(teacher_model), source_sentences))

    @property
    def description(self) -> str:
        """Name of the task."""
        return "Knowledge Distillation"

    def _measure(self, model: Any) -> Metrics:
        squares = squared(self.source_embeddings, _dense(self._embed(model, self.target_sentences)))
        return {"negative_mse": mean(-100 * squares)}

    def _primary(self, metrics: Metrics) -> str:
        return "negative_mse"

    def _columns(self) -> list[tuple[str, str]]:
        return [("MSE", "negative_mse")]

    def _append(self, path: Any, row: list[float]) -> None:
        super()._append(path, [*row[:2], -row[2], *row[3:]])  # the file has it without the sign


class MSEEvaluatorFromDataFrame(Evaluator):
    """Evaluator of a student in several languages: the mean of the `MSEEvaluator` of each pair of columns.

    Parameters
    ----------
    dataframe
        Dicts with a text by language; empty ones are left out.
    teacher_model
        Model that embeds the first language of each pair.
    combinations
        Pairs of languages: the teacher's and the student's.
    batch_size
        See `Model.encode`.
    name
        Beginning of the metric's name.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    truncate_dim
        Number of columns to keep of embeddings.
    """

    def __init__(
        self,
        dataframe: Iterable[Mapping[str, str]],
        teacher_model: Any,
        combinations: Sequence[tuple[str, str]],
        batch_size: int = 8,
        name: str = "",
        write_csv: bool = True,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(name=name, batch_size=batch_size, write_csv=write_csv, truncate_dim=truncate_dim)
        self.combinations = list(combinations)
        self.csv_file = f"mse_evaluation{suffix(name)}_results.csv"
        rows = list(dataframe)
        self.data: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
        self._teachers: dict[tuple[str, str], NDArray[np.float32]] = {}
        for source, target in self.combinations:
            pairs = [(row[source], row[target]) for row in rows if row[source].strip() and row[target].strip()]
            if not pairs:
                raise InvalidArgumentError(f"dataframe: has no row with both {source!r} and {target!r}")
            self.data[source, target] = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            self._teachers[source, target] = _dense(self._embed(_teacher(teacher_model), self.data[source, target][0]))

    @property
    def description(self) -> str:
        """Name of the task."""
        return "Knowledge Distillation"

    def _measure(self, model: Any) -> Metrics:
        means: Metrics = {}
        for (source, target), (_, texts) in self.data.items():
            squares = squared(self._teachers[source, target], _dense(self._embed(model, texts)))
            means[f"{source}-{target}"] = mean(100 * squares)
        self._means = {name: m() for name, m in means.items() if isinstance(m, Statistic)}
        return {"negative_mse": -float(np.mean(list(self._means.values())))}

    def _primary(self, metrics: Metrics) -> str:
        return "negative_mse"

    def _columns(self) -> list[tuple[str, str]]:
        return [(f"{source}-{target}", "negative_mse") for source, target in self.combinations]

    def _append(self, path: Any, row: list[float]) -> None:
        super()._append(path, [*row[:2], *self._means.values()])


def squared(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean squared difference of each pair of embeddings."""
    if first.shape != second.shape:
        raise InvalidArgumentError(
            f"model: must give embeddings of the teacher's shape {first.shape}, got {second.shape}"
        )
    squares: NDArray[np.float64] = ((first - second).astype(np.float64) ** 2).mean(axis=1)
    return squares


def _dense(embeddings: Any) -> NDArray[np.float32]:
    if isinstance(embeddings, SparseEmbeddings):
        return embeddings.to_dense()
    return _arguments.matrix("embeddings", embeddings)


def _teacher(model: Any) -> Any:
    if model is None:
        raise InvalidArgumentError("teacher_model: must be a model")
    return model
