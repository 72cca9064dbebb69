"""The numbers and token ids of sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest
from cases import TINY, real, tiny

from rushlight import Model

SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]


def check(case) -> None:
    model = Model(case.model)
    assert model.max_seq_length == case.json("meta")["max_seq_length"]
    tokens = model.tokenize(case.texts)
    ids = [row[mask == 1].tolist() for row, mask in zip(tokens["input_ids"], tokens["attention_mask"], strict=True)]
    assert ids == case.json("token_ids")
    embeddings = model.encode(case.texts)
    assert embeddings.shape == case.expected.shape
    assert np.abs(embeddings - case.expected).max() <= case.tolerance


@pytest.mark.parametrize("name", TINY)
def test_small_models(name: str) -> None:
    check(tiny(name))


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "all-mpnet-base-v2"])
def test_real_models(name: str) -> None:
    check(real(name))


@pytest.mark.parametrize(
    ("name", "cosines", "first"),
    [
        ("all-MiniLM-L6-v2", [0.665955, 0.104584, 0.141145], [0.01919575, 0.1200854, 0.15959829, 0.06706591]),
        ("all-mpnet-base-v2", [0.681655, 0.049197, 0.042089], [-0.05405932, -0.01718497, -0.03553741, 0.05009989]),
    ],
)
def test_golden_values(name: str, cosines: list[float], first: list[float]) -> None:
    model = Model(real(name).model)
    embeddings = model.encode(SENTENCES)
    scores = model.similarity(embeddings, embeddings)
    np.testing.assert_allclose([scores[0, 1], scores[0, 2], scores[1, 2]], cosines, atol=1e-6)
    np.testing.assert_allclose(embeddings[0, :4], first, atol=1e-6)


# Values from the tests of other projects, whose engines are neither ours nor sentence-transformers'.


def test_a_value_of_fastembed() -> None:
    """Values of qdrant/fastembed, tests/test_text_onnx_embeddings.py: five decimal places of ONNX Runtime's numbers."""
    embedding = Model(real("all-MiniLM-L6-v2").model).encode("hello world")
    assert np.abs(embedding[:5] - [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362]).max() <= 1e-5


@pytest.mark.parametrize(("word", "cosine"), [("physician", 0.8598), ("banana", 0.3379)])
def test_values_of_kjarni(word: str, cosine: float) -> None:
    """Values of kjarni 0.2.5's tests: four decimal places of cosines with "doctor"."""
    model = Model(real("all-MiniLM-L6-v2").model)
    assert abs(model.similarity(model.encode("doctor"), model.encode(word)).item() - cosine) <= 1e-4
