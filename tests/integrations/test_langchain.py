"""`rushlight.integrations.langchain`."""

from __future__ import annotations

import asyncio
import pickle

import checks
import pytest
from checks import FOLDER, RERANKER, SPARSE

pytest.importorskip("langchain_tests")

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations.langchain import RushlightEmbeddings, RushlightReranker, RushlightSparseEmbeddings


class Tested:
    @property
    def embeddings_class(self):
        return RushlightEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": FOLDER, "device": "cpu"}


class TestUnit(Tested, EmbeddingsUnitTests):
    """LangChain's own tests of an embedding model's class."""


class TestIntegration(Tested, EmbeddingsIntegrationTests):
    """LangChain's own tests of what it computes."""


def test_embeddings(model) -> None:
    embeddings = RushlightEmbeddings(model=FOLDER)
    checks.roles(model, embeddings.embed_documents, embeddings.embed_query)
    checks.asynchronous(model, embeddings.aembed_documents, embeddings.aembed_query)
    assert type(embeddings.embed_query("a")[0]) is float
    again = pickle.loads(pickle.dumps(embeddings))
    assert checks.equal(again.embed_query("a"), model.encode_query("a"))
    assert checks.equal(RushlightEmbeddings(model).embed_query("a"), model.encode_query("a"))


def test_options(model) -> None:
    embeddings = RushlightEmbeddings(FOLDER, truncate_dim=5, normalize_embeddings=True, token="secret")
    expected = model.encode_document(["a"], truncate_dim=5, normalize_embeddings=True)
    assert checks.equal(embeddings.embed_documents(["a"]), expected)
    assert repr(embeddings) == f"RushlightEmbeddings(model={FOLDER!r}, truncate_dim=5, normalize_embeddings=True)"
    with pytest.raises(InvalidArgumentError, match="dimensions: unknown option; there are device, "):
        RushlightEmbeddings(FOLDER, dimensions=5)
    with pytest.raises(InvalidArgumentError, match="device: options of loading, but `model` is loaded"):
        RushlightEmbeddings(model, device="cpu")


def test_a_store(model) -> None:
    store = InMemoryVectorStore.from_texts(["a lamp", "a train"], RushlightEmbeddings(FOLDER))
    assert [found.page_content for found in store.similarity_search("a lamp", k=2)]


def test_a_reranker(reranker) -> None:
    documents = [Document(page_content=text, metadata={"id": i}) for i, text in enumerate(checks.TEXTS)]
    expected = reranker.rank("a lamp", checks.TEXTS)
    compressor = RushlightReranker(model=RERANKER)
    for found in (
        compressor.compress_documents(documents, "a lamp"),
        asyncio.run(compressor.acompress_documents(documents, "a lamp")),
        RushlightReranker(model=reranker).compress_documents(documents, "a lamp"),
    ):
        assert [document.metadata["id"] for document in found] == [hit["corpus_id"] for hit in expected]
        assert [document.metadata["relevance_score"] for document in found] == [hit["score"] for hit in expected]
    assert "relevance_score" not in documents[0].metadata
    assert compressor.compress_documents([], "a lamp") == []
    settings = RushlightReranker(model=RERANKER, top_n=2, max_length=16, token="secret").model_dump()
    assert settings == {"model": RERANKER, "top_n": 2, "max_length": 16}
    assert len(RushlightReranker(**settings).compress_documents(documents, "a lamp")) == 2
    with pytest.raises(ValueError, match="top: unknown option"):  # pydantic's own
        RushlightReranker(model=RERANKER, top=3)


def test_sparse_embeddings(sparse) -> None:
    embeddings = RushlightSparseEmbeddings(model=SPARSE)
    expected = sparse.encode_document(checks.TEXTS)
    for found in (
        embeddings.embed_documents(checks.TEXTS),
        asyncio.run(embeddings.aembed_documents(checks.TEXTS)),
    ):
        assert [(row.indices, row.values) for row in found] == [
            (row.indices.tolist(), row.values.tolist()) for row in expected
        ]
    assert embeddings.embed_documents([]) == []
    query = sparse.encode_query("a lamp")
    for found in (embeddings.embed_query("a lamp"), asyncio.run(embeddings.aembed_query("a lamp"))):
        assert (found.indices, found.values) == (query.indices.tolist(), query.values.tolist())
