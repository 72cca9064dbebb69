"""Saving models of other kinds than sentence embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import DATA

from rushlight import MultiVectorModel, Reranker, SparseModel
from rushlight.exceptions import InferenceError, InvalidArgumentError

TEXTS = ["one text", "another, longer text than that"]
MODELS = {
    Reranker: DATA / "rerank/rerank-bert-3-labels/model",
    SparseModel: DATA / "sparse/splade-router-static-query/model",
    MultiVectorModel: DATA / "multi_vector/multivector-stanford-bert/model",
}


@pytest.fixture(params=MODELS, ids=lambda kind: kind.__name__)
def model(request: pytest.FixtureRequest) -> Any:
    return request.param(MODELS[request.param], prompts={"new": "new: "}, default_prompt_name="new")


def results(model: Any) -> list[Any]:
    if isinstance(model, Reranker):
        return [model.predict(list(zip(TEXTS, TEXTS[::-1], strict=True)))]
    both = [model.encode_query(TEXTS), model.encode_document(TEXTS)]
    if isinstance(model, SparseModel):
        return [embeddings.to_dense() for embeddings in [*both, model.encode(TEXTS)]]
    return [vectors for side in both for vectors in side]


def test_a_saved_model_is_the_same(model: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        Reranker: {"activation_fn": "softmax", "max_length": 9},
        SparseModel: {"similarity_fn_name": "cosine", "max_active_dims": 5, "max_seq_length": 9},
        MultiVectorModel: {"similarity_fn_name": "meanmaxsim", "document_length": 9},
    }[type(model)]
    for name, value in settings.items():
        setattr(model, name, value)
    model.save_pretrained(tmp_path / "once")
    again = type(model)(tmp_path / "once")
    again.save(str(tmp_path / "twice"))
    for saved in (again, type(model)(tmp_path / "twice")):
        assert {name: getattr(saved, name) for name in settings} == settings
        assert (saved.prompts, saved.default_prompt_name) == (model.prompts, "new")
        for one, two in zip(results(saved), results(model), strict=True):
            assert np.array_equal(one, two)


def test_what_can_not_be_saved_is_said(model: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", ""):
        with pytest.raises(InvalidArgumentError, match="path: must be a ") as raised:
            model.save(path)
        assert ".saving" not in str(raised.value)
    with pytest.raises(InvalidArgumentError, match="path"):
        model.save(3)
    model.prompts["wrong"] = 3
    with pytest.raises(InvalidArgumentError, match="prompts"):
        model.save(tmp_path)
    del model.prompts["new"], model.prompts["wrong"]
    with pytest.raises(InvalidArgumentError, match='no prompt "new"'):
        model.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    model.close()
    with pytest.raises(InferenceError, match="closed"):
        model.save(tmp_path)


def test_a_callable_is_not_saved(tmp_path: Path) -> None:
    model = Reranker(MODELS[Reranker], activation_fn=lambda logits: logits)
    with pytest.raises(InvalidArgumentError, match="activation_fn: a callable cannot be saved; set one of 'sigmoid'"):
        model.save(tmp_path)
    model.activation_fn = "identity"
    model.save(tmp_path)
    assert Reranker(tmp_path).activation_fn == "identity"
