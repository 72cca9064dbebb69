"""`rushlight.integrations.spark`, on a local cluster of two executors."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from checks import FOLDER, RERANKER, SPARSE, VECTORS
from engines import COUNT, TEXTS, Killer, begun, read, same, written

pytest.importorskip("pyspark")

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from rushlight import Model, MultiVectorModel, Reranker, SparseModel
from rushlight.__main__ import main
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations.spark import embed

pytestmark = pytest.mark.filterwarnings("ignore:::pyspark")
WORKER = ("pyspark", "daemon")


os.environ["PYSPARK_PYTHON"] = sys.executable


@pytest.fixture(scope="module")
def session():
    builder = SparkSession.builder.master("local-cluster[2,1,2048]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.executorEnv.PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    session = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "250").getOrCreate()
    yield session
    session.stop()


def test_every_row_is_there_once_when_a_worker_is_killed(session, tmp_path) -> None:
    written(tmp_path / "in")
    out = tmp_path / "out"
    frame = session.read.parquet(str(tmp_path / "in")).repartition(8)
    with Killer(WORKER, lambda: begun(out), wait=0.1) as killer:
        embed(frame, FOLDER).write.parquet(str(out))
    assert killer.killed is not None
    same(read(out))


def test_other_kinds_of_models(session) -> None:
    texts = TEXTS[:50]
    frame = session.createDataFrame([(i, text) for i, text in enumerate(texts)], ["id", "text"])

    def rows(**options) -> list:
        return embed(frame.withColumn("query", f.lit("a lamp")), **options).orderBy("id").collect()

    found = rows(model=SPARSE, kind=SparseModel, role="document")
    for row, other in zip(SparseModel(SPARSE).encode_document(texts), found, strict=True):
        assert row.indices.tolist() == other["embedding"]["indices"]
        assert np.array_equal(row.values, np.array(other["embedding"]["values"], np.float32))
    found = rows(model=VECTORS, kind=MultiVectorModel)
    for row, other in zip(MultiVectorModel(VECTORS).encode_document(texts), found, strict=True):
        assert np.array_equal(row, np.array(other["embedding"], np.float32))
    found = rows(model=RERANKER, kind=Reranker, column=("query", "text"), output="score")
    scores = Reranker(RERANKER).predict([("a lamp", text) for text in texts])
    assert [row["score"] for row in found] == scores.tolist()
    found = rows(model=FOLDER, precision="binary", role="query")
    assert [row["embedding"] for row in found] == Model(FOLDER).encode_query(texts, precision="binary").tolist()


def test_rows_that_fail(session) -> None:
    frame = session.createDataFrame([(0, "a"), (1, None), (2, "word " * 500), (3, "b")], "id int, text string")
    kept = embed(frame, FOLDER, truncation="error", errors="keep").orderBy("id").collect()
    assert [row["embedding"] is None for row in kept] == [False, True, True, False]
    assert kept[1]["embedding_error"] == "null"
    assert "tokens" in kept[2]["embedding_error"]
    with pytest.raises(Exception, match=r"column 'text': row \d of the batch"):
        embed(frame, FOLDER).collect()
    with pytest.raises(InvalidArgumentError, match="Spark has no unsigned bytes"):
        embed(frame, FOLDER, precision="ubinary")


def test_the_command_line_embeds_files_and_is_resumed(tmp_path) -> None:
    if SparkSession.getActiveSession() is not None:
        SparkSession.getActiveSession().stop()  # the command line starts its own
    written(tmp_path / "in")
    out = tmp_path / "out"
    words = ["encode", FOLDER, str(tmp_path / "in/*.parquet"), "-o", f"{out}/", "--engine", "spark", "--workers", "2"]
    words += ["--rows-per-file", "500"]
    with Killer(WORKER, lambda: any(out.glob("*.parquet"))) as killer:
        assert main(words) == 0
    assert killer.killed is not None
    same(read(out))
    first = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    gone = sorted(first)[3]
    gone.unlink()
    assert main(words) == 0
    again = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert {path for path in first if first[path] != again[path]} == {gone}
    same(read(out))
    assert COUNT
