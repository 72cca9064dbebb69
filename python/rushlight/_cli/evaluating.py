"""The command `evaluate`, which measures a model on data of one's own, and compares it with another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rushlight import Model, MultiVectorModel, Reranker, SparseModel, evaluation
from rushlight._cli import embedding, options, reading, results, streams
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from rushlight.evaluation import Evaluation

_MORE = """\
Data, of which one is given:
  --sts FILE          pairs with a graded similarity: sentence1, sentence2, score
  --pairs FILE        pairs that are similar or not: sentence1, sentence2, label (0 or 1)
  --triplets FILE     anchor, positive, negative
  --retrieval FOLDER  BEIR's layout: queries.jsonl, corpus.jsonl, qrels/test.tsv

FILE is csv, tsv, jsonl or parquet. Each metric is printed with its confidence interval by bootstrap; a star marks the
primary one. With --against, a line goes on with the other model's value, the difference and its p-value.
pip install 'rushlight[evaluation]' installs the libraries of the statistics.\
"""
_EXAMPLES = """\
rushlight evaluate all-MiniLM-L6-v2 --sts pairs.tsv
rushlight evaluate all-MiniLM-L6-v2 --sts pairs.tsv --against all-MiniLM-L6-v2 --against-dtype int8
rushlight evaluate all-MiniLM-L6-v2 --retrieval scifact/ --against all-mpnet-base-v2 --plot recall.png"""
_MODELS: dict[str, Callable[..., Any]] = {
    "sentence": Model,
    "sparse": SparseModel,
    "multi-vector": MultiVectorModel,
    "reranker": Reranker,
}


class _Task(NamedTuple):
    """Fields of a file, and the evaluators of the kinds of models."""

    fields: tuple[str, ...]
    evaluators: dict[str, Callable[..., Any]]


_TASKS = {
    "sts": _Task(
        ("sentence1", "sentence2", "score"),
        {
            "sentence": evaluation.EmbeddingSimilarityEvaluator,
            "sparse": evaluation.SparseEmbeddingSimilarityEvaluator,
            "reranker": lambda first, second, scores: evaluation.CrossEncoderCorrelationEvaluator(
                list(zip(first, second, strict=True)), scores
            ),
        },
    ),
    "pairs": _Task(
        ("sentence1", "sentence2", "label"),
        {
            "sentence": evaluation.BinaryClassificationEvaluator,
            "sparse": evaluation.SparseBinaryClassificationEvaluator,
            "reranker": lambda first, second, labels: evaluation.CrossEncoderClassificationEvaluator(
                list(zip(first, second, strict=True)), labels
            ),
        },
    ),
    "triplets": _Task(
        ("anchor", "positive", "negative"),
        {
            "sentence": evaluation.TripletEvaluator,
            "sparse": evaluation.SparseTripletEvaluator,
            "multi-vector": evaluation.MultiVectorTripletEvaluator,
        },
    ),
    "retrieval": _Task(
        (),
        {
            "sentence": evaluation.InformationRetrievalEvaluator,
            "sparse": evaluation.SparseInformationRetrievalEvaluator,
            "multi-vector": evaluation.MultiVectorInformationRetrievalEvaluator,
        },
    ),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "evaluate",
        _run,
        words="MODEL --sts FILE | --pairs FILE | --triplets FILE | --retrieval FOLDER",
        says="Measure a model on your data, and compare it with another.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(command)
    data = command.add_mutually_exclusive_group(required=True)
    for task in _TASKS:
        data.add_argument(f"--{task}", metavar="FOLDER" if task == "retrieval" else "FILE", help="data; see above")
    command.add_argument("--split", default="test", help="file of --retrieval in qrels (default: test)")
    command.add_argument("--fields", metavar="A,B,C", help="names of the three fields (default: see above)")
    command.add_argument("--format", choices=reading.KINDS[1:], help="format of FILE (default: by its extension)")
    command.add_argument("--kind", choices=tuple(_MODELS), default="sentence", help="kind of model (default: sentence)")
    command.add_argument("--against", metavar="MODEL", help="model to compare with, of the same kind")
    command.add_argument("--against-dtype", metavar="DTYPE", help="dtype of that model (default: float32)")
    command.add_argument("--resamples", metavar="N", type=options.positive, default=1000, help="default: 1000")
    command.add_argument("--plot", metavar="FILE", help="draw the metrics into a png, svg or pdf file")
    results.add_options(command)
    embedding.add_progress(command)
    return command


def _run(arguments: argparse.Namespace) -> None:
    if arguments.against_dtype is not None and arguments.against is None:
        raise InvalidArgumentError("--against-dtype: needs --against, such as the same model")
    evaluator = _evaluator(arguments)
    first = _measured(arguments, evaluator, arguments.model, arguments.dtype)
    second = None
    if arguments.against is not None:
        second = _measured(arguments, evaluator, arguments.against, arguments.against_dtype)
    resampling = {"n_resamples": arguments.resamples}
    if arguments.jsonl:
        results.say_json(_report(first, second, resampling))
    else:
        streams.say(first.table(intervals=True, against=second, **resampling))
    if arguments.plot is not None:
        names = [f"{arguments.model} {arguments.dtype or ''}", f"{arguments.against} {arguments.against_dtype or ''}"]
        axes = first.plot(against=second, labels=[name.rstrip() for name in names], **resampling)
        axes.figure.savefig(arguments.plot)


def _evaluator(arguments: argparse.Namespace) -> Any:
    name, place = next((name, place) for name in _TASKS if (place := getattr(arguments, name)) is not None)
    task = _TASKS[name]
    make = task.evaluators.get(arguments.kind)
    if make is None:
        raise InvalidArgumentError(f"--{name}: is for the kinds {', '.join(task.evaluators)}, got {arguments.kind}")
    if name == "retrieval":
        return make(*evaluation.load_beir(place, arguments.split))
    columns = _columns(place, task.fields, arguments)
    if name != "triplets":
        columns[2] = [_number(f"{place}: {task.fields[2]}", value) for value in columns[2]]
    return make(*columns)


def _columns(place: str, fields: tuple[str, ...], arguments: argparse.Namespace) -> list[list[Any]]:
    """Return three fields of a file's rows."""
    names = fields if arguments.fields is None else tuple(arguments.fields.split(","))
    if len(names) != len(fields):
        raise InvalidArgumentError(f"--fields: must be {len(fields)} names, as {','.join(fields)}")
    columns: list[list[Any]] = [[] for _ in names]
    with reading.source(place, arguments.format) as source:
        for where, row in source.rows():
            for name, column in zip(names, columns, strict=True):
                if name not in row:
                    there = ", ".join(map(repr, row)) or "none"
                    raise InvalidInputError(f"{where}: no field {name!r}; there are {there} (name them with --fields)")
                column.append(row[name])
    return columns


def _number(place: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{place}: must be a number, got {value!r}") from None


def _measured(arguments: argparse.Namespace, evaluator: Any, name: str, dtype: str | None) -> Evaluation:
    model = _MODELS[arguments.kind](name, device=arguments.device, dtype=dtype, **options.source(arguments))
    evaluator.show_progress_bar = embedding.shows_progress(arguments)
    result: Evaluation = evaluator(model)
    return result


def _report(first: Evaluation, second: Evaluation | None, resampling: dict[str, Any]) -> dict[str, Any]:
    report: dict[str, Any] = {"primary_metric": first.primary_metric, "metrics": dict(first)}
    bounds = {name: first.interval(name, **resampling) for name in first.statistics}
    report["intervals"] = {name: [each.low, each.high] for name, each in bounds.items()}
    if second is not None:
        found = [first.compare(second, name, **resampling) for name in first.statistics]
        report["against"] = {
            "metrics": dict(second),
            "differences": {each.metric: [each.difference, each.low, each.high] for each in found},
            "p_values": {each.metric: each.p_value for each in found},
        }
    return report
