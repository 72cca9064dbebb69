"""Embedding of data frames and of files on a Spark cluster."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rushlight import Model, MultiVectorModel, Reranker, SparseModel, exceptions
from rushlight._jobs.job import Job
from rushlight._jobs.parts import Done
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations._requires import requires

with requires("spark"):
    import pyarrow as pa
    from pyspark.errors import PythonException
    from pyspark.sql import SparkSession
    from pyspark.sql import types as t

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Literal

    from pyspark.sql import DataFrame

    from rushlight._jobs.parts import FolderJob, Part
    from rushlight._loaded import Role

__all__ = ["embed"]


def embed(
    df: DataFrame,
    model: str,
    *,
    column: str | tuple[str, str] = "text",
    output: str = "embedding",
    kind: type[Any] = Model,
    role: Role | None = None,
    precision: Literal["float32", "binary", "ubinary"] = "float32",
    errors: Literal["raise", "keep"] = "raise",
    **options: Any,
) -> DataFrame:
    """Add a column of embeddings to a data frame of Spark, by `mapInArrow`.

    Each Python worker loads the model once, for all its tasks, and computes with `spark.task.cpus` threads. Workers of
    a machine share the packed weights through a folder in its temporary folder; `packed_folder=` names another, and
    None turns it off. Spark repeats the task of a worker that dies, so every row is in the result once.

    Parameters
    ----------
    df
        Data frame with a column of texts.
    model
        Name or folder of a model, which every machine must find.
    column
        Column of the texts; for a reranker the columns of the queries and of the documents.
    output
        Name of the new column: an array of floats; for a reranker a float; for a sparse model a struct of `indices` and
        `values`; for late interaction an array of arrays.
    kind
        Class of the model: `Model`, `SparseModel`, `MultiVectorModel` or `Reranker`.
    role
        "query" or "document": embed in this role; None embeds in neither.
    precision
        "float32", or packed bits as signed bytes: "binary".
    errors
        For rows that can't be embedded (null, or too long with `truncation="error"`): "raise", or "keep" them with a
        null and the reason in the column `{output}_error`.
    **options
        Arguments of the class, and `normalize_embeddings`, `truncate_dim`, `truncation`, `prompt` and so on of calls.

    Raises
    ------
    InvalidArgumentError
        An option is unknown, or Spark has no type for the result.
    """
    if precision == "ubinary":
        raise InvalidArgumentError("precision: Spark has no unsigned bytes; 'binary' has the same bits in signed ones")
    columns = (column,) if isinstance(column, str) else tuple(column)
    threads = int(df.sparkSession.conf.get("spark.task.cpus", "1"))
    job = Job(model, kind, columns, output, role, options, precision, threads, errors == "keep", shared=True)
    fields = [*df.schema.fields, t.StructField(output, _type(job))]
    if job.skip:
        fields.append(t.StructField(job.error, t.StringType()))
    return df.mapInArrow(_batches(job), t.StructType(fields))


def _type(job: Job) -> t.DataType:
    floats = t.ArrayType(t.FloatType(), containsNull=True)
    if job.kind is SparseModel:
        indices = t.StructField("indices", t.ArrayType(t.IntegerType()))
        return t.StructType([indices, t.StructField("values", floats)])
    if job.precision == "binary":
        return t.ArrayType(t.ByteType())
    return {Reranker: t.FloatType(), MultiVectorModel: t.ArrayType(floats)}.get(job.kind, floats)


def _batches(job: Job) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that a Python worker runs."""

    def embedded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        job.start()
        for batch in batches:
            if batch.num_rows:
                yield from job.table(pa.Table.from_batches([batch]), fixed_size=False).to_batches()

    return embedded


def embed_parts(
    task: FolderJob, parts: list[Part], *, workers: int | None = None, address: str | None = None
) -> Iterator[Done]:
    """Embed parts of files in tasks of Spark, and yield what is done; Spark repeats the task of a worker that dies."""
    builder = SparkSession.builder.appName("rushlight encode").config("spark.ui.showConsoleProgress", "false")
    if workers is not None:  # of a standalone cluster, and of the others
        builder = builder.config("spark.cores.max", workers).config("spark.executor.instances", workers)
    # Four attempts for each task, as in clusters.
    session = builder.master(address or f"local[{workers or '*'},4]").getOrCreate()
    threads = task.job.num_threads or int(session.conf.get("spark.task.cpus", "1"))
    task = replace(task, job=replace(task.job, num_threads=threads, shared=True))
    rows = session.sparkContext.parallelize(parts, len(parts)).map(_embedded(task))
    try:
        with _causes(), ThreadPoolExecutor(1) as pool:
            future = pool.submit(rows.collect)
            left = parts
            while left:
                over = wait([future], timeout=1).done
                missing = [] if over else task.missing(left)
                yield Done(sum(part.rows for part in left) - sum(part.rows for part in missing), 0)
                left = missing
            yield Done(0, sum(done.rejected for done in future.result()))
    finally:
        session.stop()


def _embedded(task: FolderJob) -> Callable[[Part], Done]:
    """Return the function that a Python worker runs for a part."""

    def embedded(part: Part) -> Done:
        task.job.start()
        return task.embed(part)

    return embedded


@contextmanager
def _causes() -> Iterator[None]:
    """Raise rushlight's error that a Python worker has reported, instead of Spark's about it."""
    from py4j.protocol import Py4JJavaError

    try:
        yield
    except (PythonException, Py4JJavaError) as error:
        found = re.search(r"rushlight\.exceptions\.(\w+): (.*)", str(error))
        if found is None:
            raise
        raise getattr(exceptions, found[1])(found[2]) from None
