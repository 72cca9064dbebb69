"""`rushlight.integrations.haystack`."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import checks
import pytest
from checks import FOLDER, RERANKER, SPARSE

pytest.importorskip("haystack")

from haystack import Document, Pipeline
from haystack.utils import Secret

from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations import haystack as ours


def documents(texts: list[str]) -> list[Document]:
    return [Document(id=str(i), content=text, meta={"title": f"title {i}"}) for i, text in enumerate(texts)]


def test_embedders(model) -> None:
    text, document = ours.RushlightTextEmbedder(FOLDER), ours.RushlightDocumentEmbedder(FOLDER, progress_bar=False)
    text.warm_up()

    def rows(texts: list[str]) -> list:
        return [found.embedding for found in document.run(documents(texts))["documents"]]

    async def rows_async(texts: list[str]) -> list:
        return [found.embedding for found in (await document.run_async(documents(texts)))["documents"]]

    async def row_async(query: str) -> list:
        return (await text.run_async(query))["embedding"]

    checks.roles(model, rows, lambda query: text.run(query)["embedding"])
    checks.asynchronous(model, rows_async, row_async)
    given = documents(["a"])
    assert document.run(given)["documents"][0].id == "0"
    assert given[0].embedding is None
    for component, wrong in [(text, ["a"]), (document, "a")]:
        with pytest.raises(TypeError, match="must be a"):
            component.run(wrong)


def test_parts_of_documents(model) -> None:
    embedder = ours.RushlightDocumentEmbedder(
        FOLDER, prefix="<", suffix=">", meta_fields_to_embed=["title", "no"], embedding_separator=" | ", truncate_dim=5
    )
    (found,) = embedder.run([Document(content=None, meta={"title": "t"})])["documents"]
    assert checks.equal(found.embedding, model.encode_document("<t | >", truncate_dim=5))


def test_sparse_embedders(sparse) -> None:
    text, document = ours.RushlightSparseTextEmbedder(SPARSE), ours.RushlightSparseDocumentEmbedder(SPARSE)
    query = text.run("a lamp")["sparse_embedding"]
    expected = sparse.encode_query("a lamp")
    assert (query.indices, query.values) == (expected.indices.tolist(), expected.values.tolist())
    assert asyncio.run(text.run_async("a lamp"))["sparse_embedding"] == query
    found = document.run(documents(checks.TEXTS))["documents"]
    for row, embedding in zip(sparse.encode_document(checks.TEXTS), found, strict=True):
        assert embedding.sparse_embedding.indices == row.indices.tolist()
    assert document.run([])["documents"] == []


def test_a_ranker(reranker) -> None:
    expected = reranker.rank("a lamp", checks.TEXTS)
    ranker = ours.RushlightRanker(RERANKER, top_k=None)
    given = documents(checks.TEXTS)
    for found in (ranker.run("a lamp", given), asyncio.run(ranker.run_async("a lamp", given))):
        assert [(int(d.id), d.score) for d in found["documents"]] == [(h["corpus_id"], h["score"]) for h in expected]
    assert len(ranker.run("a lamp", given, top_k=2)["documents"]) == 2
    assert ranker.run("a lamp", [])["documents"] == []
    least = expected[1]["score"]
    assert len(ours.RushlightRanker(RERANKER, score_threshold=least).run("a lamp", given)["documents"]) == 2


def test_a_pipeline_goes_through_yaml(model, monkeypatch) -> None:
    monkeypatch.setenv("A_TOKEN", "secret")
    token = Secret.from_env_var("A_TOKEN")
    pipeline = Pipeline()
    pipeline.add_component("embedder", ours.RushlightTextEmbedder(FOLDER, truncate_dim=5, prefix="p ", token=token))
    pipeline.add_component("documents", ours.RushlightDocumentEmbedder(FOLDER, meta_fields_to_embed=["title"]))
    pipeline.add_component("ranker", ours.RushlightRanker(RERANKER, top_k=3))
    saved = pipeline.dumps()
    assert "secret" not in saved
    again = Pipeline.loads(saved)
    assert again.dumps() == saved
    expected = model.encode_query("p a lamp", truncate_dim=5)
    asked = {"embedder": {"text": "a lamp"}, "ranker": {"query": "a", "documents": []}, "documents": {"documents": []}}
    assert checks.equal(again.run(asked)["embedder"]["embedding"], expected)
    code = f"""
from haystack import Pipeline
pipeline = Pipeline.loads({saved!r}, allowed_modules=["rushlight.integrations.haystack"])
print(type(pipeline.get_component("ranker")).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "RushlightRanker\n"


def test_an_asynchronous_pipeline(model) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", ours.RushlightTextEmbedder(FOLDER))
    found = asyncio.run(pipeline.run_async({"embedder": {"text": "a lamp"}}))
    assert checks.equal(found["embedder"]["embedding"], model.encode_query("a lamp"))


def test_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match=r"token: must be a haystack\.utils\.Secret, got str"):
        ours.RushlightTextEmbedder(FOLDER, token="secret")
    with pytest.raises(InvalidArgumentError, match="batch_size: unknown option"):
        ours.RushlightDocumentEmbedder(FOLDER, batch_size=32)
