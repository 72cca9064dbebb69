"""Tokens, as models of all kinds show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model, MultiVectorModel, Reranker, SparseModel
from rushlight.exceptions import InferenceError, InvalidInputError

MODELS = {
    Model: tiny("bert-mean-normalize").model,
    Reranker: DATA / "rerank/rerank-bert/model",
    SparseModel: DATA / "sparse/splade-bert-max/model",
    MultiVectorModel: DATA / "multi_vector/multivector-native-bert/model",
}


@pytest.fixture(params=MODELS, ids=lambda kind: kind.__name__)
def model(request: pytest.FixtureRequest) -> Any:
    return request.param(MODELS[request.param])


def test_tokens_are_shown_padded_and_counted(model: Any) -> None:
    texts = ["a", "a b c", ("a b", "c")]
    tokens = model.tokenize(texts)
    lengths = [3, 5, 6]
    assert tokens["attention_mask"].tolist() == [[1] * n + [0] * (6 - n) for n in lengths]
    assert model.count_tokens(texts) == lengths
    assert model.count_tokens("a b c") == 5
    tokenizer = model.tokenizer
    assert tokenizer.encode("a b c") == tokens["input_ids"][1, :5].tolist()
    assert tokenizer.decode(tokenizer.encode("a b c")) == "[CLS] a b c [SEP]"
    assert tokenizer.decode(tokenizer.encode("a b c"), skip_special_tokens=True) == "a b c"
    assert tokenizer.vocab_size == 420
    with pytest.raises(InvalidInputError, match=r"texts\[1\]"):
        model.tokenize(["a", 3])


def test_they_are_cut_as_the_model_cuts(model: Any) -> None:
    tokenizer = model.tokenizer
    limit = {Reranker: "max_length", MultiVectorModel: "document_length"}.get(type(model), "max_seq_length")
    setattr(model, limit, 4)
    assert len(tokenizer.encode("a b c")) == 4
    assert model.tokenize(["a b c"])["input_ids"].shape == (1, 4)
    assert model.count_tokens("a b c") == 5
    model.close()
    with pytest.raises(InferenceError, match="closed"):
        model.count_tokens("a")


def test_what_is_returned_of_texts() -> None:
    model = Model(MODELS[Model])
    tokens = model.tokenize(["a", "a b c"])
    assert list(tokens) == ["input_ids", "attention_mask"]
    assert all(array.dtype == np.int64 and array.shape == (2, 5) for array in tokens.values())
    assert tokens["input_ids"][0, 3:].tolist() == [0, 0]
    assert model.count_tokens(["a", "word " * 500]) == [3, model.count_tokens("word " * 500)]
    assert model.count_tokens("word " * 500) > 500
    assert model.tokenize([])["input_ids"].shape == (0, 0)


def test_queries_of_late_interaction_are_filled_up() -> None:
    model = MultiVectorModel(MODELS[MultiVectorModel])
    tokens = model._tokens(["a"], as_queries=True)
    assert tokens["input_ids"].shape == (1, 32)
    assert tokens["attention_mask"].sum() == 3
