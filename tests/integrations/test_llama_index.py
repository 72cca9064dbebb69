"""`rushlight.integrations.llama_index`."""

from __future__ import annotations

import asyncio
import pickle

import checks
import pytest
from checks import FOLDER, RERANKER

pytest.importorskip("llama_index.core")

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.schema import NodeWithScore, TextNode

from rushlight.integrations.llama_index import RushlightEmbedding, RushlightRerank


def test_embeddings(model) -> None:
    embedding = RushlightEmbedding(model_name=FOLDER)
    checks.roles(model, embedding.get_text_embedding_batch, embedding.get_query_embedding)
    checks.asynchronous(model, embedding.aget_text_embedding_batch, embedding.aget_query_embedding)
    assert checks.equal(embedding.get_text_embedding("a"), model.encode_document("a"))
    assert checks.equal(asyncio.run(embedding.aget_text_embedding("a")), model.encode_document("a"))


def test_settings_are_saved_without_secrets(model) -> None:
    embedding = RushlightEmbedding(model_name=FOLDER, truncate_dim=5, embed_batch_size=100, token="secret")
    settings = embedding.to_dict()
    assert settings["class_name"] == "RushlightEmbedding"
    assert "secret" not in embedding.to_json() + repr(embedding)
    for again in (RushlightEmbedding.from_dict(settings), pickle.loads(pickle.dumps(embedding))):
        assert (again.embed_batch_size, again.truncate_dim) == (100, 5)
        assert checks.equal(again.get_text_embedding("a"), model.encode_document("a", truncate_dim=5))
    with pytest.raises(ValueError, match="dimensions: unknown option"):  # pydantic's own
        RushlightEmbedding(model_name=FOLDER, dimensions=5)


def test_an_index() -> None:
    index = VectorStoreIndex.from_documents(
        [Document(text="a lamp"), Document(text="a train")], embed_model=RushlightEmbedding(model_name=FOLDER)
    )
    assert len(index.as_retriever(similarity_top_k=2).retrieve("a lamp")) == 2


def test_a_reranker(reranker) -> None:
    expected = reranker.rank("a lamp", checks.TEXTS)

    def nodes() -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text=text, id_=str(i)), score=0.5) for i, text in enumerate(checks.TEXTS)]

    rerank = RushlightRerank(model=RERANKER, keep_retrieval_score=True)
    for found in (
        rerank.postprocess_nodes(nodes(), query_str="a lamp"),
        asyncio.run(rerank.apostprocess_nodes(nodes(), query_str="a lamp")),
    ):
        assert [(node.node.id_, node.score) for node in found] == [
            (str(hit["corpus_id"]), hit["score"]) for hit in expected
        ]
        assert found[0].node.metadata["retrieval_score"] == 0.5
    assert rerank.postprocess_nodes([], query_str="a lamp") == []
    with pytest.raises(ValueError, match="query_bundle"):
        rerank.postprocess_nodes(nodes())
    again = RushlightRerank.from_dict(RushlightRerank(model=RERANKER, top_n=2, max_length=16).to_dict())
    assert len(again.postprocess_nodes(nodes(), query_str="a lamp")) == 2
