"""`rushlight.integrations.ray`, on a local cluster of two nodes."""

from __future__ import annotations

import numpy as np
import pytest
from checks import FOLDER, RERANKER, SPARSE, VECTORS
from engines import COUNT, TEXTS, Killer, read, same, written

pytest.importorskip("ray")

import ray
import ray.data
from ray.cluster_utils import Cluster

from rushlight import Model, MultiVectorModel, Reranker, SparseModel
from rushlight.__main__ import main
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations.ray import embed

pytestmark = pytest.mark.filterwarnings("ignore:::ray")


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_every_row_is_there_once_when_an_actor_is_killed(cluster, tmp_path) -> None:
    files = written(tmp_path / "in")
    out = tmp_path / "out"
    embedded = embed(ray.data.read_parquet(files), FOLDER, workers=2, batch_size=250)
    with Killer(("ray::", "_Embedder"), lambda: True) as killer:
        embedded.write_parquet(str(out))
    assert killer.killed is not None
    table = read(out)
    assert str(table.schema.field("embedding").type).startswith("fixed_size_list<")  # and no type of Ray's own
    same(table)


def test_the_command_line_embeds_files_and_is_resumed(cluster, tmp_path) -> None:
    files = written(tmp_path / "in")
    out = tmp_path / "out"
    words = ["encode", FOLDER, str(tmp_path / "in/*.parquet"), "-o", f"{out}/", "--engine", "ray", "--workers", "2"]
    words += ["--rows-per-file", "500"]

    def some() -> bool:
        return any(out.glob("*.parquet"))

    with Killer(("ray::", "PartEmbedder"), some) as killer:
        assert main(words) == 0
    assert killer.killed is not None
    same(read(out))
    first = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    gone = sorted(first)[3]
    gone.unlink()
    assert main(words) == 0
    again = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert {path for path in first if first[path] != again[path]} == {gone}  # only what is missing
    same(read(out))
    assert len(files) == 8


def test_other_kinds_of_models(cluster) -> None:
    texts = TEXTS[:50]
    dataset = ray.data.from_items([{"id": i, "text": text, "query": "a lamp"} for i, text in enumerate(texts)])

    def rows(**options) -> list:
        return sorted(embed(dataset, workers=1, **options).take_all(), key=lambda row: row["id"])

    found = rows(model=SPARSE, kind=SparseModel, role="document")
    for row, other in zip(SparseModel(SPARSE).encode_document(texts), found, strict=True):
        assert np.array_equal(row.indices, other["embedding"]["indices"])
    found = rows(model=VECTORS, kind=MultiVectorModel)
    for row, other in zip(MultiVectorModel(VECTORS).encode_document(texts), found, strict=True):
        assert np.array_equal(row, np.stack(other["embedding"]))
    found = rows(model=RERANKER, kind=Reranker, column=("query", "text"), output="score")
    scores = Reranker(RERANKER).predict([("a lamp", text) for text in texts])
    assert [row["score"] for row in found] == scores.tolist()


def test_rows_that_fail(cluster) -> None:
    texts = ["a", None, "word " * 500, "b"]
    dataset = ray.data.from_items([{"id": i, "text": text} for i, text in enumerate(texts)])
    kept = embed(dataset, FOLDER, workers=1, truncation="error", errors="keep").take_all()
    kept.sort(key=lambda row: row["id"])
    assert [row["embedding"] is None for row in kept] == [False, True, True, False]
    assert [row["embedding_error"] for row in kept][:2] == [None, "null"]
    assert "tokens" in kept[2]["embedding_error"]
    assert np.array_equal(kept[3]["embedding"], Model(FOLDER).encode("b"))
    with pytest.raises(Exception, match=r"column 'text': row \d of the batch"):
        embed(dataset, FOLDER, workers=1, truncation="error").take_all()


def test_actors_that_take_all_cpus_are_refused(cluster) -> None:
    dataset = ray.data.from_items([{"text": "a"}])
    with pytest.raises(InvalidArgumentError, match="3 actors of 1 CPUs don't fit into a cluster of 3 CPUs, because"):
        embed(dataset, FOLDER, workers=3)
    with pytest.raises(InvalidArgumentError, match="column: Reranker needs two columns"):
        embed(dataset, RERANKER, kind=Reranker)
    assert COUNT
