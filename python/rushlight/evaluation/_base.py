"""Loop that all evaluators share: measure, write a line to a CSV file, and return a result."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rushlight.evaluation._embeddings import embed
from rushlight.evaluation._result import Evaluation
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rushlight.evaluation._statistics import Statistic

    Metrics = dict[str, float | Statistic]

logger = logging.getLogger("rushlight")


class BaseEvaluator:
    """Base of all evaluators, and of your own: override `__call__`, and set `primary_metric`.

    An evaluator is called with a model, a folder for its CSV file, and the epoch and step of a training for a column
    each. It returns metrics by name.
    """

    greater_is_better = True
    primary_metric: str | None = None

    def __init__(self) -> None:
        self.greater_is_better = True
        self.primary_metric = None

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: int = -1, steps: int = -1
    ) -> Any:
        """Evaluate a model; subclasses override it."""
        raise NotImplementedError(f"{type(self).__name__}.__call__: override it, and return metrics by name")

    def prefix_name_to_metrics(self, metrics: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return metrics as floats, their names after `name` and "_"; the primary metric gets it, too."""
        prefix = f"{name}_" if name else ""
        if self.primary_metric is not None and not self.primary_metric.startswith(prefix):
            self.primary_metric = prefix + self.primary_metric
        return {prefix + key: _number(value) for key, value in metrics.items()}

    def store_metrics_in_model_card_data(
        self, model: Any, metrics: dict[str, Any], epoch: int = 0, step: int = 0
    ) -> None:
        """Tell the model's card, if the model has one."""
        card = getattr(model, "model_card_data", None)
        if card is not None:
            card.set_evaluation_metrics(self, metrics, epoch, step)

    @property
    def description(self) -> str:
        """Words of the class name, without "Evaluator"."""
        name = re.sub("^CE", "CrossEncoder", type(self).__name__).split("Evaluator", 1)[0]
        return re.sub("([a-z])([A-Z])", r"\g<1> \g<2>", name)

    def get_config_dict(self) -> dict[str, Any]:
        """Return settings that belong on a model card."""
        return {}


SentenceEvaluator = BaseEvaluator


class Evaluator(BaseEvaluator):
    """Evaluator of the package: subclasses measure, and name the columns of the CSV file."""

    # Name of the CSV file.
    csv_file = ""
    # Attributes that `get_config_dict` returns if they are set.
    _settings: tuple[str, ...] = ("truncate_dim",)

    def __init__(
        self,
        *,
        name: str = "",
        batch_size: int = 32,
        show_progress_bar: bool | None = False,
        write_csv: bool = True,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.name, self.write_csv = name, write_csv
        self.batch_size, self.show_progress_bar, self.truncate_dim = batch_size, show_progress_bar, truncate_dim

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: int = -1, steps: int = -1
    ) -> Evaluation:
        """Evaluate a model.

        Parameters
        ----------
        model
            Model of rushlight or of `rushlight.compat`, or any object with the same methods.
        output_path
            Folder for a CSV file, which is created; a call appends a line.
        epoch, steps
            Columns of the CSV file.

        Returns
        -------
        Evaluation
            Metrics by name, after `name` and "_" if the evaluator has a name.
        """
        return self._evaluate(model, output_path, epoch, steps)

    def _evaluate(self, model: Any, output_path: str | os.PathLike[str] | None, epoch: int, steps: int) -> Evaluation:
        self._begin()
        metrics = self._measure(model)
        metrics |= self._seen_metrics()
        self.primary_metric = self._primary(metrics)
        result = self._result(metrics)
        logger.info("%s%s: %s", self.description, f" on {self.name}" if self.name else "", dict(result))
        if output_path is not None:
            folder = Path(output_path)
            folder.mkdir(parents=True, exist_ok=True)
            if self.write_csv:
                columns = self._columns() + self._seen_columns()
                numbers = self._numbers(metrics, result)
                self._append(folder / self.csv_file, [epoch, steps, *(numbers[key] for _, key in columns)])
            self._write_more(folder)
        self.store_metrics_in_model_card_data(model, dict(result), epoch, steps)
        return result

    def _measure(self, model: Any) -> Metrics:
        """Return metrics in order; names are without the evaluator's name."""
        raise NotImplementedError

    def _primary(self, metrics: Metrics) -> str:
        """Return the name of the primary metric."""
        raise NotImplementedError

    def _columns(self) -> list[tuple[str, str]]:
        """Return the columns of the CSV file after epoch and steps, with the metric of each."""
        raise NotImplementedError

    def _write_more(self, folder: Path) -> None:
        """Write further files."""

    # Hooks of kinds of models: options of `encode`, and figures of the embeddings.

    def _begin(self) -> None:
        """Forget the embeddings of the last call."""

    def _encode_options(self) -> dict[str, Any]:
        """Return options of `encode` that belong to the kind of model."""
        return {"truncate_dim": self.truncate_dim}

    def _seen(self, side: str, embeddings: Any) -> None:
        """Take figures of embeddings; `side` is "query", "corpus", or another word for their part."""

    def _seen_metrics(self) -> Metrics:
        """Return the figures of all embeddings."""
        return {}

    def _seen_columns(self) -> list[tuple[str, str]]:
        """Return the columns of those figures."""
        return []

    def embed_inputs(self, model: Any, sentences: Any, encode_fn_name: str | None = None, **kwargs: Any) -> Any:
        """Embed inputs: by `encode_query` for "query", `encode_document` for "document", and else by `encode`.

        Override it to embed otherwise.
        """
        options = {"batch_size": self.batch_size, "show_progress_bar": self.show_progress_bar}
        return embed(model, sentences, encode_fn_name, **{**options, **self._encode_options(), **kwargs})

    def _embed(self, model: Any, inputs: Any, role: str | None = None, side: str = "", **options: Any) -> Any:
        embeddings = self.embed_inputs(model, inputs, **({} if role is None else {"encode_fn_name": role}), **options)
        self._seen(side, embeddings)
        return embeddings

    @property
    def csv_headers(self) -> list[str]:
        """Columns of the CSV file."""
        return ["epoch", "steps", *(header for header, _ in self._columns() + self._seen_columns())]

    def _result(self, metrics: Metrics) -> Evaluation:
        prefix = f"{self.name}_" if self.name else ""
        self.prefix_name_to_metrics({}, self.name)
        named = {prefix + key: metric for key, metric in metrics.items()}
        return Evaluation(named, self.primary_metric, greater_is_better=self.greater_is_better)

    def _numbers(self, metrics: Metrics, result: Evaluation) -> dict[str, float]:
        """Return the values of metrics by their names without the evaluator's."""
        return dict(zip(metrics, result.values(), strict=True))

    def _append(self, path: Path, row: list[float]) -> None:
        """Append a line to a CSV file; a new file begins with the names of the columns."""
        new = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(self.csv_headers)
            writer.writerow(row)

    def get_config_dict(self) -> dict[str, Any]:
        """Return settings that belong on a model card."""
        return {name: getattr(self, name) for name in self._settings if getattr(self, name) is not None}


class SequentialEvaluator(BaseEvaluator):
    """Calls several evaluators, and returns all of their metrics and `sequential_score`.

    Parameters
    ----------
    evaluators
        Evaluators, called in order.
    main_score_function
        Function of the list of their primary metrics, whose value is `sequential_score`; the default is the last one.
    """

    def __init__(
        self, evaluators: Iterable[BaseEvaluator], main_score_function: Callable[[list[float]], float] | None = None
    ) -> None:
        super().__init__()
        self.evaluators = list(evaluators)
        self.main_score_function = main_score_function or (lambda scores: scores[-1])

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: int = -1, steps: int = -1
    ) -> Evaluation:
        """Call all evaluators; see theirs for the arguments."""
        metrics: Metrics = {}
        scores: list[float] = []
        for i, evaluator in enumerate(self.evaluators):
            result = evaluator(model, output_path, epoch, steps)
            if not isinstance(result, dict):
                result = {f"evaluator_{i}": result}
            primary = getattr(evaluator, "primary_metric", None)
            scores.append(result[primary if primary is not None else next(iter(result))])
            metrics |= {**result, **getattr(result, "statistics", {})}
        self.primary_metric = "sequential_score"
        metrics[self.primary_metric] = self.main_score_function(scores) if scores else 0.0
        return Evaluation(metrics, self.primary_metric)


def same_length(**sides: Sequence[Any]) -> int:
    """Check that sequences are equally long and not empty, and return their length.

    Raises
    ------
    InvalidArgumentError
        A sequence has another length than the first one, or all are empty.
    """
    lengths = {name: len(side) for name, side in sides.items()}
    first, count = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != count:
            raise InvalidArgumentError(f"{name}: must have as many items as {first}, {count}, got {length}")
    if not count:
        raise InvalidArgumentError(f"{first}: must not be empty")
    return count


def suffix(name: str) -> str:
    """Return a name for the middle of a file name, after "_" if there is one."""
    return f"_{name}" if name else ""


def _number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def unpacked(examples: Iterable[Any]) -> tuple[list[list[str]], list[Any]]:
    """Return the texts and labels of objects with `texts` and `label`."""
    given = list(examples)
    return [list(example.texts) for example in given], [example.label for example in given]
