"""Modules and formats in Python: routes by task, sparse codes of sentence embeddings, and model2vec's rule."""

from __future__ import annotations

import copy
import json
import pickle
import shutil

import numpy as np
import pytest
from cases import DATA

from rushlight import Model, MultiVectorModel, SparseModel
from rushlight.exceptions import InvalidArgumentError, ModelFormatError


def texts(case) -> list[str]:
    return json.loads((case / "texts.json").read_text(encoding="utf-8"))


def test_routes_by_task() -> None:
    case = DATA / "routes/bert-asym-old"
    model = Model(case / "model")
    assert model.tasks == ["query", "doc"]
    for task in model.tasks:
        expected = np.load(case / f"expected64_{task}.npy")
        got = model.encode(texts(case), task=task)
        assert np.abs(got - expected).max() < 2e-5 * np.abs(expected).max()
    assert np.array_equal(model.encode_query("a"), model.encode("a", task="query"))
    for call in (model.encode, model.encode_document):
        with pytest.raises(InvalidArgumentError, match='there are "query" and "doc"'):
            call("a")


def test_sparse_codes_of_sentence_embeddings() -> None:
    case = DATA / "sparse/csr-bert"
    model = SparseModel(case / "model")
    assert model.max_active_dims == 8
    three = model.encode(texts(case), max_active_dims=3).to_dense()
    expected = np.load(case / "expected64_max3.npy")
    assert np.abs(three - expected).max() < 2e-5 * np.abs(expected).max()


def test_only_some_tokens_of_documents_are_kept() -> None:
    model = MultiVectorModel(DATA / "multi_vector/multivector-keep-only-ids/model")
    assert model.encode_document("").shape == (2, 16)
    assert len(model.encode_query("the weather")) > len(model.encode_document("the weather"))


def test_a_rule_reads_static_models() -> None:
    case = DATA / "static/model2vec-vocabulary"
    by = {rule: Model(case / "model", static_rule=rule) for rule in ("sentence-transformers", "model2vec", None)}
    rows = {rule: model.encode(texts(case)) for rule, model in by.items()}
    assert np.array_equal(rows[None], rows["sentence-transformers"])
    assert np.abs(rows["model2vec"] - np.load(case / "expected64.npy")).max() < 1e-5
    assert np.abs(rows["sentence-transformers"] - np.load(case / "expected_st.npy")).max() < 1e-5
    assert np.abs(rows["model2vec"] - rows[None]).max() > 0.1
    for copied in (pickle.loads(pickle.dumps(by["model2vec"])), copy.copy(by["model2vec"])):
        assert np.array_equal(copied.encode(texts(case)), rows["model2vec"])
    with pytest.raises(InvalidArgumentError, match="static_rule"):
        Model(case / "model", static_rule="other")


def test_a_broken_router_is_an_error_by_file_and_key(tmp_path) -> None:
    shutil.copytree(DATA / "routes/bert-asym-old/model", tmp_path, dirs_exist_ok=True)
    (tmp_path / "2_Asym/config.json").write_text('{"types": {}, "structure": {"query": ["x"]}}')
    with pytest.raises(ModelFormatError, match=r"2_Asym.config\.json: types\.x"):
        Model(tmp_path)
