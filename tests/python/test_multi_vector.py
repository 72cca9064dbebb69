"""Late-interaction models: the numbers of sentence-transformers, and how they are called."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, other, tiny

from rushlight import MultiVectorModel
from rushlight.exceptions import InferenceError, InvalidArgumentError, InvalidInputError, UnsupportedModelError

TEXTS = ["one text", "another"]


def folder(name: str) -> Path:
    return DATA / "multi_vector" / name / "model"


@pytest.fixture
def colbert() -> MultiVectorModel:
    return MultiVectorModel(folder("multivector-pylate-bert"))


@pytest.mark.parametrize("case", other("multi_vector"), ids=lambda case: case.name)
def test_vectors_and_scores_are_the_references(case: Path) -> None:
    texts = json.loads((case / "texts.json").read_text(encoding="utf-8"))
    model = MultiVectorModel(case / "model")
    both = {"query": model.encode_query(texts), "document": model.encode_document(texts)}
    for kind, vectors in both.items():
        assert [len(rows) for rows in vectors] == json.loads((case / f"{kind}_lengths.json").read_text())
        assert {(rows.dtype, rows.shape[1]) for rows in vectors} == {(np.dtype(np.float32), 16)}
        assert np.abs(np.concatenate(vectors) - np.load(case / f"{kind}_values64.npy")).max() <= 1e-5
    scores = model.similarity(both["query"][:12], both["document"])
    np.testing.assert_allclose(scores, np.load(case / "maxsim.npy"), atol=1e-4)
    pairs = model.similarity_pairwise(both["query"][:12], both["document"][:12])
    assert np.array_equal(pairs, np.diag(scores))


def test_single_texts_and_none(colbert: MultiVectorModel) -> None:
    queries = colbert.encode_query(TEXTS)
    assert np.array_equal(colbert.encode_query("one text"), queries[0])
    assert colbert.encode_document([]) == []
    assert colbert.similarity([], []).shape == (0, 0)
    assert colbert.similarity(queries[0], queries).shape == (1, 2)
    assert colbert.similarity([row.tolist() for row in queries], queries).shape == (2, 2)


def test_documents_are_ranked(colbert: MultiVectorModel) -> None:
    documents = ["a document", "one more", "a document", "last"]
    scores = colbert.similarity([colbert.encode_query("a query")], colbert.encode_document(documents))[0]
    ranked = colbert.rank("a query", documents)
    assert [row["score"] for row in ranked] == sorted(scores.tolist(), reverse=True)
    places = [row["corpus_id"] for row in ranked]
    assert places.index(0) + 1 == places.index(2)  # of equal ones the first first
    top = colbert.rank("a query", documents, top_k=1, return_documents=True)
    assert [row["text"] for row in top] == [documents[places[0]]]
    for query, given, word in ((3, documents, "query"), ("a", ["b", 3], r"documents\[1\]"), ("a", "b", "documents")):
        with pytest.raises(InvalidInputError, match=word):
            colbert.rank(query, given)


def test_scores_may_be_means(colbert: MultiVectorModel) -> None:
    queries, documents = colbert.encode_query(TEXTS), colbert.encode_document(TEXTS)
    sums = colbert.similarity(queries, documents)
    colbert.similarity_fn_name = "meanmaxsim"
    np.testing.assert_allclose(colbert.similarity(queries, documents), sums / 32, rtol=1e-6)
    with pytest.raises(InvalidArgumentError, match="similarity_fn_name"):
        colbert.similarity_fn_name = "cosine"
    for wrong in (3, [np.zeros((2, 3))]):
        with pytest.raises(InvalidArgumentError):
            colbert.similarity(queries, wrong)
    with pytest.raises(InvalidArgumentError, match="documents"):
        colbert.similarity_pairwise(queries, documents[:1])


def test_prompts_and_lengths(colbert: MultiVectorModel) -> None:
    assert (colbert.prompts["query"], colbert.prompts["document"]) == ("[Q] ", "[D] ")
    assert (colbert.query_length, colbert.document_length) == (32, 90)
    by_hand = colbert.encode_query("[Q] this", prompt="")
    assert np.array_equal(colbert.encode_query("this"), by_hand)
    assert not np.array_equal(colbert.encode_query("this", prompt_name="document"), by_hand)
    colbert.document_length = 10
    assert len(colbert.encode_document("a " * 50)) == 10
    for wrong in (0, 141):
        with pytest.raises(InvalidArgumentError, match="document_length"):
            colbert.document_length = wrong


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_the_same_settings(duplicate) -> None:
    model = MultiVectorModel(folder("multivector-native-bert"), document_length=20, prompts={"query": "ask: "})
    other = duplicate(model)
    assert (other.document_length, other.prompts["query"], other.query_length) == (20, "ask: ", 32)
    assert np.array_equal(other.encode_document("a " * 50), model.encode_document("a " * 50))
    other.document_length = 30
    assert model.document_length == 20


def test_wrong_inputs_and_folders(colbert: MultiVectorModel) -> None:
    with pytest.raises(InvalidInputError, match=r"inputs\[1\].*int"):
        colbert.encode_query(["a", 3])
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        colbert.encode_document(TEXTS, batch_size=0)
    with pytest.raises(UnsupportedModelError, match="for Model"):
        MultiVectorModel(tiny("bert-mean-normalize").model)
    with colbert:
        assert "query_length=32" in repr(colbert)
    with pytest.raises(InferenceError, match="closed"):
        colbert.encode_query(TEXTS)


def test_stanfords_folder_without_its_settings_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(folder("multivector-stanford-bert"), tmp_path / "model")
    MultiVectorModel(tmp_path / "model")
    assert caplog.messages == []
    (tmp_path / "model" / "artifact.metadata").unlink()
    assert MultiVectorModel(tmp_path / "model").encode_query(["a"])[0].shape == (32, 16)
    assert "has no artifact.metadata" in caplog.text
