"""Real clients against a real process on loopback. `make test-server` installs them into their own environment."""

from __future__ import annotations

import asyncio
import os

import numpy as np
import pytest
from served import MODEL, RERANKER

from rushlight import Model, Reranker

TEXTS = ["the cat sat", "a dog ran over the hill", "the cat sat over the hill and the dog ran"]
DOCUMENTS = ["a cat", "a dog", "over the hill"]

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_TELEMETRY"] = "False"


@pytest.fixture(scope="session")
def expected() -> np.ndarray:
    return Model(MODEL).encode(TEXTS, normalize_embeddings=True)


@pytest.fixture(scope="session")
def scores() -> np.ndarray:
    pairs = [("a query", document) for document in DOCUMENTS]
    return Reranker(RERANKER).predict(pairs, activation_fn="sigmoid")


def same(rows, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(rows, dtype=np.float32), expected)


def test_openai(url: str, expected: np.ndarray) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="secret")
    for form in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        answer = client.embeddings.create(input=TEXTS, model="mine", **form)
        rows = [item.embedding for item in answer.data]
        if form.get("encoding_format") == "base64":
            import base64

            rows = [np.frombuffer(base64.b64decode(row), "<f4") if isinstance(row, str) else row for row in rows]
        same(rows, expected)
        assert answer.usage.total_tokens == sum(Model(MODEL).count_tokens(TEXTS))
    few = client.embeddings.create(input=TEXTS[0], model="mine", dimensions=4).data[0].embedding
    same(few, Model(MODEL).encode(TEXTS[0], normalize_embeddings=True, truncate_dim=4))
    assert [model.id for model in client.models.list()] == ["mine", "ranks"]
    assert client.models.retrieve("mine").id == "mine"
    with pytest.raises(openai.NotFoundError, match="served models: mine, ranks"):
        client.embeddings.create(input="a", model="nothing")
    with pytest.raises(openai.BadRequestError, match="cannot be empty"):
        client.embeddings.create(input="", model="mine")
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(input="a", model="mine", dimensions=10**6)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong").models.list()


def test_openai_async_with_50_requests_at_once(url: str) -> None:
    openai = pytest.importorskip("openai")
    texts = [f"text {i} " + "the cat sat " * (i % 20) for i in range(50)]

    async def embed() -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="secret") as client:
            answers = await asyncio.gather(*(client.embeddings.create(input=text, model="mine") for text in texts))
            return [answer.data[0].embedding for answer in answers]

    same(asyncio.run(embed()), Model(MODEL).encode(texts, normalize_embeddings=True))


def test_cohere(url: str, scores: np.ndarray) -> None:
    cohere = pytest.importorskip("cohere")
    for client in (cohere.Client(api_key="secret", base_url=url), cohere.ClientV2(api_key="secret", base_url=url)):
        answer = client.rerank(model="ranks", query="a query", documents=DOCUMENTS, top_n=2)
        assert len(answer.results) == 2
        same([result.relevance_score for result in answer.results], scores[[result.index for result in answer.results]])


def test_huggingface_hub(url: str, expected: np.ndarray) -> None:
    hub = pytest.importorskip("huggingface_hub")
    client = hub.InferenceClient(url, token="secret")
    for text, row in zip(TEXTS, expected, strict=True):
        same(client.feature_extraction(text)[0], row)
    cosines = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
    model = Model(MODEL)
    np.testing.assert_allclose(cosines, model.similarity(expected[:1], expected[1:])[0], atol=1e-6)


def test_langchain_openai(url: str, expected: np.ndarray) -> None:
    openai = pytest.importorskip("langchain_openai")
    embeddings = openai.OpenAIEmbeddings(
        base_url=f"{url}/v1", api_key="secret", model="mine", check_embedding_ctx_length=False
    )
    same(embeddings.embed_documents(TEXTS), expected)
    same(embeddings.embed_query(TEXTS[0]), expected[0])


def test_llama_index(url: str, expected: np.ndarray) -> None:
    tei = pytest.importorskip("llama_index.embeddings.text_embeddings_inference")
    embeddings = tei.TextEmbeddingsInference(
        model_name="mine", base_url=url, auth_token="secret", query_instruction="", text_instruction=""
    )
    same(embeddings.get_text_embedding_batch(TEXTS), expected)
    same(embeddings.get_query_embedding(TEXTS[0]), expected[0])


def test_haystack(url: str, expected: np.ndarray) -> None:
    embedders = pytest.importorskip("haystack.components.embedders")
    from haystack import Document
    from haystack.utils import Secret

    options = {"api_key": Secret.from_token("secret"), "api_base_url": f"{url}/v1", "model": "mine"}
    same(embedders.OpenAITextEmbedder(**options).run(TEXTS[0])["embedding"], expected[0])
    documents = [Document(content=text) for text in TEXTS]
    found = embedders.OpenAIDocumentEmbedder(**options, progress_bar=False).run(documents)["documents"]
    same([document.embedding for document in found], expected)


def test_litellm(url: str, expected: np.ndarray, scores: np.ndarray) -> None:
    litellm = pytest.importorskip("litellm")
    answer = litellm.embedding(model="openai/mine", input=TEXTS, api_base=f"{url}/v1", api_key="secret")
    same([item["embedding"] for item in answer.data], expected)
    for provider, base in (("cohere", f"{url}/v2/rerank"), ("jina_ai", f"{url}/v1/rerank"), ("hosted_vllm", url)):
        answer = litellm.rerank(
            model=f"{provider}/ranks", query="a query", documents=DOCUMENTS, top_n=3, api_base=base, api_key="secret"
        )
        same([result["relevance_score"] for result in answer.results], scores[[r["index"] for r in answer.results]])
