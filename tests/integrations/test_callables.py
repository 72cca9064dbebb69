"""Libraries that take a callable, or a small class of ours: BERTopic, KeyBERT, DSPy."""

from __future__ import annotations

import checks
import numpy as np
import pytest
from checks import FOLDER, TEXTS

WORDS = ["bread", "dough", "flour", "router", "modem", "cable"]
DOCUMENTS = [f"The {word} is on shelf {i}." for word in WORDS for i in range(12)]


def test_keybert(model) -> None:
    keybert = pytest.importorskip("keybert")
    from rushlight.integrations.keybert import RushlightEmbedder

    embedder = RushlightEmbedder(FOLDER)
    assert checks.equal(embedder.embed(TEXTS), model.encode(TEXTS))
    assert len(keybert.KeyBERT(embedder).extract_keywords(DOCUMENTS[0], top_n=2)) == 2


def test_bertopic(model) -> None:
    bertopic = pytest.importorskip("bertopic")
    from rushlight.integrations.bertopic import RushlightEmbedder

    embedder = RushlightEmbedder(FOLDER, normalize_embeddings=True)
    expected = model.encode(TEXTS, normalize_embeddings=True)
    for found in (embedder.embed(TEXTS), embedder.embed_words(TEXTS), embedder.embed_documents(TEXTS)):
        assert np.array_equal(found, expected)
    topics = bertopic.BERTopic(embedding_model=embedder, min_topic_size=5)
    assert topics.embedding_model is embedder  # and not silently another one
    found, _ = topics.fit_transform(DOCUMENTS)
    assert len(found) == len(DOCUMENTS)


def test_dspy(model) -> None:
    dspy = pytest.importorskip("dspy")
    embedder = dspy.Embedder(model.encode, caching=False)
    assert checks.equal(embedder(TEXTS), model.encode(TEXTS))
    assert checks.equal(embedder("a lamp"), model.encode("a lamp"))
