"""Libraries that depend on sentence-transformers, unchanged, with rushlight in its place."""

from __future__ import annotations

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model, Reranker
from rushlight.compat import CrossEncoder, SentenceTransformer

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries

DENSE = str(tiny("bert-mean-normalize").model)
RERANKER = str(DATA / "rerank/rerank-bert/model")
TEXTS = ["A small lamp.", "a river of stone", "bread train", "garden music", "paper window"]
QUERY = "red lamp"


def close(embeddings, texts=TEXTS) -> bool:
    return np.allclose(embeddings, Model(DENSE).encode(texts), atol=1e-6)


def order() -> list[str]:
    return [TEXTS[hit["corpus_id"]] for hit in Reranker(RERANKER).rank(QUERY, TEXTS)]


def test_langchain():
    from langchain_huggingface import HuggingFaceEmbeddings

    embeddings = HuggingFaceEmbeddings(model_name=DENSE)
    assert isinstance(embeddings._client, SentenceTransformer)
    assert close(embeddings.embed_documents(TEXTS))
    assert close(embeddings.embed_query(QUERY), QUERY)


def test_langchains_cross_encoder():
    cross_encoders = pytest.importorskip("langchain_huggingface.cross_encoders")
    model = cross_encoders.HuggingFaceCrossEncoder(model_name=RERANKER)
    scores = model.score([(QUERY, text) for text in TEXTS])
    assert np.allclose(scores, Reranker(RERANKER).predict([(QUERY, text) for text in TEXTS]))


def test_llama_index():
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    embedding = HuggingFaceEmbedding(model_name=DENSE)
    assert isinstance(embedding._model, SentenceTransformer)
    assert close(embedding.get_text_embedding_batch(TEXTS))
    assert close(embedding.get_query_embedding(QUERY), QUERY)


@pytest.mark.parametrize("module", ["llama_index.core.postprocessor", "llama_index.postprocessor.sbert_rerank"])
def test_llama_indexs_reranker(module):
    from llama_index.core.schema import NodeWithScore, TextNode

    package = pytest.importorskip(module)
    reranker = package.SentenceTransformerRerank(model=RERANKER, top_n=3)
    assert isinstance(reranker._model, CrossEncoder)
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in TEXTS]
    found = reranker.postprocess_nodes(nodes, query_str=QUERY)
    assert [node.text for node in found] == order()[:3]


def test_haystack():
    from haystack import Document
    from haystack_integrations.components.embedders import sentence_transformers as embedders

    options = {"model": DENSE, "progress_bar": False, "tokenizer_kwargs": {"model_max_length": 64}}
    texts = embedders.SentenceTransformersTextEmbedder(**options)
    texts.warm_up()
    assert close(texts.run(QUERY)["embedding"], QUERY)
    documents = embedders.SentenceTransformersDocumentEmbedder(**options)
    documents.warm_up()
    found = documents.run([Document(content=text) for text in TEXTS])["documents"]
    assert close([document.embedding for document in found])


def test_haystacks_ranker():
    from haystack import Document
    from haystack_integrations.components.rankers.sentence_transformers import SentenceTransformersSimilarityRanker

    ranker = SentenceTransformersSimilarityRanker(model=RERANKER, top_k=5)
    ranker.warm_up()
    found = ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])["documents"]
    assert [document.content for document in found] == order()


def test_chromadb():
    import chromadb
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

    function = SentenceTransformerEmbeddingFunction(model_name=DENSE)
    assert close(function(TEXTS))
    collection = chromadb.EphemeralClient().create_collection("standing-in", embedding_function=function)
    collection.add(ids=list("abcde"), documents=TEXTS)
    assert collection.query(query_texts=[TEXTS[2]], n_results=1)["ids"] == [["c"]]


def test_txtai():
    from txtai import Embeddings

    embeddings = Embeddings(path=DENSE, method="sentence-transformers", content=True)
    embeddings.index(TEXTS)
    [found] = embeddings.search(TEXTS[3], 1)
    assert (found["text"], round(found["score"], 4)) == (TEXTS[3], 1.0)
    assert close(embeddings.batchtransform(TEXTS))


def test_keybert():
    from keybert import KeyBERT

    text = "river stone lamp bread"
    found = KeyBERT(SentenceTransformer(DENSE)).extract_keywords(text)
    assert "sentencetransformers" in type(KeyBERT(DENSE).model).__module__
    assert KeyBERT(DENSE).extract_keywords(text) == found
    assert len(found) == 4


def test_bertopic():
    from bertopic import BERTopic
    from bertopic.backend._utils import select_backend

    for given in (SentenceTransformer(DENSE), DENSE):
        backend = select_backend(given)
        assert isinstance(backend.embedding_model, SentenceTransformer)
        assert close(backend.embed_documents(TEXTS))
    texts = [f"{text} {word}" for text in TEXTS for word in ("lamp", "river", "music", "stone", "bread", "paper")]
    topics, _ = BERTopic(embedding_model=SentenceTransformer(DENSE), min_topic_size=2).fit_transform(texts)
    assert len(topics) == len(texts)
