"""Sparse models: the numbers of sentence-transformers, and what is done with sparse embeddings."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, other, tiny

from rushlight import SparseEmbeddings, SparseModel
from rushlight.exceptions import (
    InferenceError,
    InvalidArgumentError,
    InvalidInputError,
    MissingDependencyError,
    UnsupportedModelError,
)

TEXTS = ["one text", "another"]


def folder(name: str) -> Path:
    return DATA / "sparse" / name / "model"


@pytest.fixture
def splade() -> SparseModel:
    return SparseModel(folder("splade-bert-max"))


@pytest.mark.parametrize("case", other("sparse"), ids=lambda case: case.name)
def test_weights_are_the_references(case: Path) -> None:
    texts = json.loads((case / "texts.json").read_text(encoding="utf-8"))
    expected = np.load(case / "expected64.npy")
    model = SparseModel(case / "model")
    embeddings = model.encode_document(texts)
    assert embeddings.shape == expected.shape
    assert [part.dtype for part in (embeddings.indptr, embeddings.indices, embeddings.values)] == [
        np.int64,
        np.int32,
        np.float32,
    ]
    assert np.abs(embeddings.to_dense() - expected).max() <= 2e-5 * np.abs(expected).max()
    if (case / "expected_query.npy").exists():
        assert np.array_equal(model.encode_query(texts).to_dense(), np.load(case / "expected_query.npy"))


def test_rows_are_embeddings_too(splade: SparseModel) -> None:
    embeddings = splade.encode(TEXTS)
    dense = embeddings.to_dense()
    assert len(embeddings) == 2
    assert len(list(embeddings)) == 2
    assert np.array_equal(embeddings[1].to_dense(), dense[1:])
    assert embeddings[-1] == embeddings[1]
    assert embeddings[0] != embeddings[1]
    assert embeddings[:] == embeddings
    assert embeddings[2:].shape == (0, 420)
    assert splade.encode("one text") == embeddings[0]
    assert splade.encode([]).shape == (0, 420)
    assert "shape=(2, 420)" in repr(embeddings)
    with pytest.raises(IndexError):
        embeddings[2]
    with pytest.raises(InvalidArgumentError, match="step"):
        embeddings[::2]


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        (([0, 1], [0, 1], [1.0, 2.0], (1, 3)), "indptr"),
        (([0, 2], [0, 1], [1.0], (1, 3)), "values"),
        (([0, 2], [0, 3], [1.0, 2.0], (1, 3)), "indices"),
        (([0, 2, 1, 2], [0, 1], [1.0, 2.0], (3, 3)), "indptr"),
        (([0, 2], [0, 1], [1.0, 2.0], (2, 3)), "indptr"),
        (([0, 2], ["a", "b"], [1.0, 2.0], (1, 3)), "arrays"),
        (([0, 2], [0, 1], [1.0, 2.0], 3), "shape"),
    ],
)
def test_parts_must_fit(parts: tuple, word: str) -> None:
    with pytest.raises(InvalidArgumentError, match=word):
        SparseEmbeddings(*parts)


def test_to_scipy(splade: SparseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = splade.encode(TEXTS)
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(MissingDependencyError, match="pip install scipy"):
        embeddings.to_scipy()

    class Sparse:
        @staticmethod
        def csr_array(parts, shape):
            return parts, shape

    monkeypatch.setitem(sys.modules, "scipy.sparse", Sparse)
    (values, indices, indptr), shape = embeddings.to_scipy()
    assert (values is embeddings.values, indices is embeddings.indices, indptr is embeddings.indptr) == (True,) * 3
    assert shape == (2, 420)


def test_similarity(splade: SparseModel) -> None:
    assert splade.similarity_fn_name == "dot"
    embeddings = splade.encode(TEXTS)
    dense = embeddings.to_dense().astype(np.float64)
    np.testing.assert_allclose(splade.similarity(embeddings[0], embeddings), (dense @ dense.T)[:1], rtol=1e-5)
    splade.similarity_fn_name = "cosine"
    np.testing.assert_allclose(np.diag(splade.similarity(embeddings, embeddings)), 1, rtol=1e-6)
    for wrong in (dense, None):
        with pytest.raises(InvalidArgumentError, match="SparseEmbeddings"):
            splade.similarity(embeddings, wrong)
    with pytest.raises(InvalidArgumentError, match="wide"):
        splade.similarity(embeddings, SparseEmbeddings([0], [], [], (0, 3)))
    with pytest.raises(InvalidArgumentError, match="indices"):
        splade.similarity(embeddings, SparseEmbeddings([0, 2], [1, 1], [1, 1], (1, 420)))
    with pytest.raises(InvalidArgumentError, match="similarity_fn_name"):
        splade.similarity_fn_name = "maxsim"


def test_decode_and_sparsity() -> None:
    model = SparseModel(folder("splade-router-static-query"))
    queries = model.encode_query(["the weather", ""])
    tokens, nothing = model.decode(queries)
    assert nothing == []
    assert len(tokens) == len(queries[0].values)
    assert [weight for _, weight in tokens] == sorted(queries[0].values.tolist(), reverse=True)
    assert "the" in dict(tokens)
    assert model.decode(queries, top_k=1)[0] == tokens[:1]
    unsorted = SparseEmbeddings([0, 2], [3, 1], [1.0, 2.0], (1, 420))
    assert [weight for _, weight in model.decode(unsorted)[0]] == [2.0, 1.0]
    assert model.sparsity(queries) == {
        "active_dims": len(tokens) / 2,
        "sparsity_ratio": 1 - len(tokens) / 2 / 420,
    }
    assert SparseModel.sparsity(queries[2:]) == {"active_dims": 0.0, "sparsity_ratio": 1.0}
    with pytest.raises(InvalidArgumentError, match="top_k"):
        model.decode(queries, top_k=0)


def test_only_the_strongest_weights(splade: SparseModel) -> None:
    few = splade.encode(TEXTS, max_active_dims=3)
    assert np.diff(few.indptr).tolist() == [3, 3]
    splade.max_active_dims = 3
    assert splade.encode(TEXTS) == few
    assert SparseModel(folder("splade-bert-max"), max_active_dims=3).encode(TEXTS) == few
    for wrong in (0, "a"):
        with pytest.raises(InvalidArgumentError, match="max_active_dims"):
            splade.encode(TEXTS, max_active_dims=wrong)


def test_prompts() -> None:
    model = SparseModel(folder("splade-bert-max"), prompts={"query": "ask: ", "passage": "text: "})
    assert model.encode_query("this") == model.encode("ask: this")
    assert model.encode_document("this") == model.encode("text: this")
    assert model.encode("this", prompt_name="query") == model.encode("ask: this")
    assert model.encode_query("this", prompt="") == model.encode("this")
    with pytest.raises(InvalidArgumentError, match="prompt_name"):
        model.encode("this", prompt_name="other")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_the_same_settings(duplicate) -> None:
    model = SparseModel(folder("splade-bert-max"), max_seq_length=20, max_active_dims=7, similarity_fn_name="cosine")
    other = duplicate(model)
    assert (other.max_seq_length, other.max_active_dims, other.similarity_fn_name) == (20, 7, "cosine")
    assert other.encode("word " * 50) == model.encode("word " * 50)
    other.max_seq_length = 30
    assert model.max_seq_length == 20


def test_wrong_inputs_and_folders(splade: SparseModel) -> None:
    with pytest.raises(InvalidInputError, match=r"inputs\[1\].*int"):
        splade.encode(["a", 3])
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        splade.encode(TEXTS, batch_size=0)
    with pytest.raises(UnsupportedModelError, match="for Model"):
        SparseModel(tiny("bert-mean-normalize").model)
    with splade:
        assert "embedding_dimension=420" in repr(splade)
    with pytest.raises(InferenceError, match="closed"):
        splade.encode(TEXTS)
