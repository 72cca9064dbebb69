"""Models with a Router: queries go another way than documents."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases import router, tiny

from rushlight import Model
from rushlight.exceptions import InvalidArgumentError

CASES = {"query": "bert-mean-normalize", "document": "mpnet-cls-dot"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return router(tmp_path / "router", CASES)


def test_queries_and_documents_go_their_own_ways(folder: Path) -> None:
    model = Model(folder, prompts={"query": "ask: "})
    queries, documents = (Model(tiny(case).model) for case in CASES.values())
    texts = ["one text", "another"]
    asked = queries.encode([f"ask: {text}" for text in texts], normalize_embeddings=True)
    np.testing.assert_allclose(model.encode_query(texts), asked, atol=1e-6)
    written = documents.encode(texts, normalize_embeddings=True)
    assert np.array_equal(model.encode_document(texts), written)
    assert np.array_equal(model.encode(texts), written)
    for role, expected in (("query", model.encode_query(texts)), ("document", written)):
        assert np.array_equal(model.encode(texts, role=role), expected)
        assert np.array_equal(np.concatenate(list(model.encode_iter(texts, chunk_size=1, role=role))), expected)
        assert np.array_equal(asyncio.run(model.encode_async(texts, role=role)), expected)
        assert np.array_equal(np.concatenate(model.encode_chunks(texts, role=role)), expected)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.encode_query(texts), model.encode_query(texts))


def test_a_saved_one_goes_the_same_ways(folder: Path, tmp_path: Path) -> None:
    model = Model(folder, prompts={"query": "ask: "})
    model.save(tmp_path / "saved")
    again, texts = Model(tmp_path / "saved"), ["one text", "another"]
    for method in ("encode", "encode_query", "encode_document"):
        assert np.array_equal(getattr(again, method)(texts), getattr(model, method)(texts))


def test_a_role_yields_to_a_given_prompt_and_has_two_names(folder: Path) -> None:
    model = Model(folder, prompts={"query": "ask: ", "own": "own: "}, default_prompt_name="own")
    (given,) = model.encode_iter(["own: a"], role="query", prompt="")
    assert np.array_equal(given, model.encode_query("own: a", prompt="")[None])
    assert np.array_equal(given, model.encode(["a"], role="query", prompt_name="own"))
    for call in (model.encode, model.encode_iter):
        with pytest.raises(InvalidArgumentError, match="role: must be one of None, 'query', 'document', got 'asks'"):
            call(["a"], role="asks")


def test_warnings_of_truncation_use_the_limit_of_the_route(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Model(folder)
    model.max_seq_length = 5  # of documents, the default route
    text = "a lamp lights the room of the house by the sea"
    for output_value in ("sentence_embedding", "token_embeddings"):
        for role, cut in (("document", True), ("query", False)):
            caplog.clear()
            model.encode([text], role=role, output_value=output_value, truncation="warn")
            assert any("were cut to 5 tokens" in record.message for record in caplog.records) == cut
