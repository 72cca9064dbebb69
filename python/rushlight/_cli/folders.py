"""Folders as outputs of `encode`, which this process or the workers of an engine fill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rushlight import Model, MultiVectorModel, SparseModel, _progress
from rushlight._cli import embedding, options, reading, streams
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from rushlight._jobs.job import Job
    from rushlight._jobs.parts import Done, FolderJob, Part

_KINDS = {"dense": Model, "sparse": SparseModel, "multi-vector": MultiVectorModel}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for folders and engines."""
    group = parser.add_argument_group("folders", "for a folder as OUT, such as out/")
    group.add_argument(
        "--rows-per-file",
        metavar="N",
        type=options.positive,
        default=10_000,
        help="maximum number of rows of a file, and number that a killed worker loses at most (default: 10000)",
    )
    group.add_argument(
        "--skip-errors",
        action="store_true",
        help="write texts that can't be embedded (null, too long with --truncation error) into OUT/_rejected",
    )
    group.add_argument("--engine", choices=("ray", "spark"), help="embed on the workers of a cluster, which see OUT")
    group.add_argument("--address", help="address of the cluster (default: the engine's, else this machine)")
    group.add_argument("--workers", metavar="N", type=options.positive, help="number of workers (default: all CPUs)")


def is_folder(arguments: argparse.Namespace) -> bool:
    """Return True if the output is a folder.

    Raises
    ------
    InvalidArgumentError
        An option for folders comes with another output.
    """
    output = arguments.output
    folder = output is not None and (output.endswith(("/", "\\")) or Path(output).is_dir())
    if arguments.output_format not in {None, "parquet"}:
        folder = False
    for name in ("engine", "workers", "address", "skip_errors"):
        if getattr(arguments, name) and not folder:
            raise InvalidArgumentError(f"--{name.replace('_', '-')}: needs a folder as output: -o OUT/")
    return folder


def run(arguments: argparse.Namespace, places: list[str]) -> None:
    """Embed files into a folder.

    Raises
    ------
    InvalidArgumentError
        An option is not for folders.
    """
    from rushlight._jobs.parts import FolderJob  # which needs pyarrow

    embedding.limit_threads(arguments)
    _check(arguments, places)
    task = FolderJob(_job(arguments), arguments.output, reading.options(arguments))
    parts = task.plan(places, arguments.rows_per_file, force=arguments.force)
    missing = task.missing(parts)
    shown, rejected = embedding.shows_progress(arguments), 0
    total = sum(part.rows for part in parts)
    done = total - sum(part.rows for part in missing)
    with _progress.bar(shown=shown, total=total, initial=done, desc="Texts", unit="text") as bar:
        for finished in _finished(arguments, task, missing):
            rejected += finished.rejected
            bar.update(finished.rows)
    if rejected:
        streams.complain(f"rushlight: {rejected} texts were rejected: {arguments.output.rstrip('/')}/_rejected")


def _finished(arguments: argparse.Namespace, task: FolderJob, parts: list[Part]) -> Iterable[Done]:
    """Yield the parts that are done, in any order."""
    if not parts:
        return []
    if arguments.engine is None:
        task.job.start()
        return map(task.embed, parts)
    given: dict[str, Any] = {"workers": arguments.workers, "address": arguments.address}
    if arguments.engine == "ray":
        from rushlight.integrations.ray import embed_parts
    else:
        from rushlight.integrations.spark import embed_parts
    return embed_parts(task, parts, **given)


def _job(arguments: argparse.Namespace) -> Job:
    from rushlight._jobs.job import Job

    given = {
        "device": arguments.device,
        "dtype": arguments.dtype,
        "truncation": arguments.truncation,
        "prompt": arguments.prompt,
        "prompt_name": arguments.prompt_name,
        **options.source(arguments),
    }
    if arguments.kind == "dense":
        given |= {"truncate_dim": arguments.truncate_dim, "normalize_embeddings": arguments.normalize}
        given |= {"task": arguments.task}
    return Job(
        arguments.model,
        kind=_KINDS[arguments.kind],
        columns=(arguments.field or "text",),
        output=arguments.output_field,
        role=arguments.role,
        options={name: value for name, value in given.items() if value not in (None, False)},
        precision=arguments.precision,
        num_threads=arguments.num_threads,
        skip=arguments.skip_errors,
    )


def _check(arguments: argparse.Namespace, places: list[str]) -> None:
    if "-" in places:
        raise InvalidArgumentError("stdin: a folder as output needs files as inputs")
    if arguments.chunk:
        raise InvalidArgumentError("--chunk: is for one file as output, not for a folder")
    if arguments.precision in {"int8", "uint8"}:
        raise InvalidArgumentError(f"--precision {arguments.precision}: takes its ranges from all texts at once")
