"""Embedding of datasets and of files on a Ray cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rushlight import Model
from rushlight._jobs.job import Job
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations._requires import requires

with requires("ray"):
    import ray
    import ray.data
    from ray.util import ActorPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from rushlight._jobs.parts import Done, FolderJob, Part
    from rushlight._loaded import Role

__all__ = ["embed"]


class _Embedder:
    """Worker of Ray Data: loads the model once, and embeds batches."""

    def __init__(self, job: Job) -> None:
        self._job = job
        job.start()

    def __call__(self, batch: Any) -> Any:
        return self._job.table(batch)


def embed(
    dataset: ray.data.Dataset,
    model: str,
    *,
    column: str | tuple[str, str] = "text",
    output: str = "embedding",
    kind: type[Any] = Model,
    role: Role | None = None,
    precision: Literal["float32", "binary", "ubinary"] = "float32",
    workers: int | None = None,
    num_cpus: int = 1,
    memory: int | None = None,
    batch_size: int = 1024,
    errors: Literal["raise", "keep"] = "raise",
    **options: Any,
) -> ray.data.Dataset:
    """Add a column of embeddings to a dataset of Ray Data.

    Each worker is an actor that loads the model once and computes with `num_cpus` threads. Workers of a machine share
    the packed weights through a folder in its temporary folder; `packed_folder=` names another, and None turns it off.
    Ray restarts an actor that dies and repeats its batches, so every row is in the result once. Batches are Arrow
    tables without copies beyond Ray's own, and other libraries read the columns that are written.

    Parameters
    ----------
    dataset
        Dataset with a column of texts.
    model
        Name or folder of a model, which every machine must find.
    column
        Column of the texts; for a reranker the columns of the queries and of the documents.
    output
        Name of the new column: `FixedSizeList` of float32; for a reranker scores; for a sparse model structs of
        `indices` and `values`; for late interaction lists of vectors.
    kind
        Class of the model: `Model`, `SparseModel`, `MultiVectorModel` or `Reranker`.
    role
        "query" or "document": embed in this role; None embeds in neither.
    precision
        "float32", or packed bits: "binary" or "ubinary".
    workers
        Number of actors; None takes all CPUs but one.
    num_cpus
        Number of CPUs and threads of an actor.
    memory
        Bytes that Ray reserves for an actor. A worker takes about 200 MB, and 1.5 times the size of the weights.
    batch_size
        Number of rows of a batch.
    errors
        For rows that can't be embedded (null, or too long with `truncation="error"`): "raise", or "keep" them with a
        null and the reason in the column `{output}_error`.
    **options
        Arguments of the class, and `normalize_embeddings`, `truncate_dim`, `truncation`, `prompt` and so on of calls.

    Raises
    ------
    InvalidArgumentError
        An option is unknown, or the actors would take all CPUs, so that Ray waits forever for one to read with.
    """
    columns = (column,) if isinstance(column, str) else tuple(column)
    job = Job(model, kind, columns, output, role, options, precision, num_cpus, errors == "keep", shared=True)
    return dataset.map_batches(
        _Embedder,
        fn_constructor_args=(job,),
        batch_format="pyarrow",
        batch_size=batch_size,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=_workers(workers, num_cpus, spare=1)),
        num_cpus=num_cpus,
        memory=memory,
    )


def embed_parts(
    task: FolderJob, parts: list[Part], *, workers: int | None = None, address: str | None = None
) -> Iterator[Done]:
    """Embed parts of files with actors, and yield what is done; Ray restarts an actor that dies.

    Raises
    ------
    InvalidArgumentError
        The cluster has too few CPUs.
    """
    own = not ray.is_initialized()
    if own:
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        num_cpus = task.job.num_threads or 1
        task = replace(task, job=replace(task.job, num_threads=num_cpus, shared=True))
        count = min(_workers(workers, num_cpus, spare=0), len(parts))
        remote = ray.remote(num_cpus=num_cpus, max_restarts=-1, max_task_retries=-1)(_PartEmbedder)
        pool = ActorPool([remote.remote(task) for _ in range(count)])
        yield from pool.map_unordered(lambda actor, part: actor.embed.remote(part), parts)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        if own:
            ray.shutdown()


class _PartEmbedder:
    """Worker that embeds parts of files."""

    def __init__(self, task: FolderJob) -> None:
        self._task = task
        task.job.start()

    def embed(self, part: Part) -> Done:
        """Embed a part."""
        return self._task.embed(part)


def _workers(workers: int | None, num_cpus: int, spare: int) -> int:
    """Return the number of actors, which leave CPUs to spare for Ray's own tasks."""
    if not ray.is_initialized():
        ray.init()
    cpus = int(ray.cluster_resources().get("CPU", 0))
    most = (cpus - spare) // num_cpus
    workers = max(most, 1) if workers is None else workers
    if not 1 <= workers <= most:
        kept = f", because Ray needs {spare} for reading and writing" if spare else ""
        problem = f"{workers} actors of {num_cpus} CPUs don't fit into a cluster of {cpus} CPUs{kept}"
        raise InvalidArgumentError(f"workers: {problem}; there may be {max(most, 0)}")
    return workers
