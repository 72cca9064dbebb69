"""Rerankers: the numbers of sentence-transformers, and how they are called."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, other, tiny

from rushlight import Model, Reranker
from rushlight.exceptions import (
    DeviceError,
    InferenceError,
    InvalidArgumentError,
    InvalidInputError,
    ModelFormatError,
    UnsupportedModelError,
)

PAIRS = [("one text", "another"), ("a query", "a document")]


def folder(name: str) -> Path:
    return DATA / "rerank" / name / "model"


@pytest.fixture
def reranker() -> Reranker:
    return Reranker(folder("rerank-bert"))


@pytest.fixture
def three() -> Reranker:
    return Reranker(folder("rerank-bert-3-labels"))


@pytest.mark.parametrize("case", other("rerank"), ids=lambda case: case.name)
def test_scores_are_the_references(case: Path) -> None:
    pairs = json.loads((case / "texts.json").read_text(encoding="utf-8"))
    meta = json.loads((case / "meta.json").read_text(encoding="utf-8"))
    expected = np.load(case / "expected64.npy")
    reranker = Reranker(case / "model")
    assert (reranker.num_labels, reranker.max_length) == (meta["num_labels"], meta["max_length"])
    scores = reranker.predict(pairs)
    assert (scores.shape, scores.dtype) == (expected.shape, np.float32)
    assert np.abs(scores - expected).max() <= 2e-5 * np.abs(expected).max()
    assert np.array_equal(reranker.predict([tuple(pair) for pair in pairs[:3]]), scores[:3])


def test_what_is_a_pair(reranker: Reranker, three: Reranker) -> None:
    scores = reranker.predict(PAIRS)
    assert np.array_equal(reranker.predict(iter(PAIRS)), scores)
    assert np.array_equal(reranker.predict(np.array(PAIRS)), scores)
    for single in (("one text", "another"), ["one text", "another"], np.array(["one text", "another"])):
        score = reranker.predict(single)
        assert isinstance(score, float)
        assert score == scores[0]
    assert three.predict(("one text", "another")).shape == (3,)
    assert reranker.predict([]).shape == (0,)
    assert three.predict([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ("text", "inputs"),
        ([("a", "b"), "text"], r"inputs\[1\]"),
        ([("a", "b", "c")], r"inputs\[0\].*3"),
        ([("a", None)], r"inputs\[0\].*NoneType"),
        (("a", None), "NoneType"),
        (b"ab", "bytes"),
        (None, "NoneType"),
        ([("a", "\ud800")], "surrogate"),
    ],
)
def test_what_is_no_pair(reranker: Reranker, wrong, word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        reranker.predict(wrong)


def test_activations(reranker: Reranker, three: Reranker) -> None:
    assert (reranker.activation_fn, three.activation_fn) == ("sigmoid", "identity")
    logits = reranker.predict(PAIRS, activation_fn="identity")
    np.testing.assert_allclose(reranker.predict(PAIRS), 1 / (1 + np.exp(-logits)), atol=1e-6)
    seen = []

    def double(array):
        seen.append(array.shape)
        return array * 2

    assert np.array_equal(reranker.predict(PAIRS, activation_fn=double), logits * 2)
    assert seen == [(2, 1)]
    reranker.activation_fn = double
    assert np.array_equal(reranker.predict(PAIRS), logits * 2)
    assert np.array_equal(Reranker(folder("rerank-bert"), activation_fn=double).predict(PAIRS), logits * 2)
    softmax = three.predict(PAIRS, apply_softmax=True)
    np.testing.assert_allclose(softmax.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(three.predict(PAIRS, activation_fn="softmax"), softmax)
    np.testing.assert_allclose(three.predict(PAIRS, activation_fn=lambda x: x, apply_softmax=True), softmax, atol=1e-7)
    assert np.array_equal(reranker.predict(PAIRS, apply_softmax=True), reranker.predict(PAIRS))
    for wrong in ("glu", "ReLU", 3):
        with pytest.raises(InvalidArgumentError, match="activation_fn"):
            reranker.predict(PAIRS, activation_fn=wrong)
    with pytest.raises(InvalidArgumentError, match=r"activation_fn.*shape"):
        reranker.predict(PAIRS, activation_fn=lambda x: x[:1])


def test_documents_are_ranked(reranker: Reranker, three: Reranker) -> None:
    documents = ["a document", "one more", "a document", "last"]
    scores = reranker.predict([("a query", text) for text in documents])
    ranked = reranker.rank("a query", documents)
    assert [row["score"] for row in ranked] == sorted(scores.tolist(), reverse=True)
    assert all(row["score"] == scores[row["corpus_id"]] for row in ranked)
    places = [row["corpus_id"] for row in ranked]
    assert places.index(0) + 1 == places.index(2)  # of equal ones the first first
    top = reranker.rank("a query", iter(documents), top_k=2, return_documents=True, batch_size=1)
    assert [row["text"] for row in top] == [documents[i] for i in places[:2]]
    assert reranker.rank("a query", []) == []
    with pytest.raises(InvalidArgumentError, match="num_labels"):
        three.rank("a query", documents)
    with pytest.raises(InvalidInputError, match=r"documents\[1\]"):
        reranker.rank("a query", ["a", 3])
    with pytest.raises(InvalidInputError, match="documents"):
        reranker.rank("a query", "a document")
    with pytest.raises(InvalidInputError, match="query"):
        reranker.rank(None, documents)
    with pytest.raises(InvalidArgumentError, match="top_k"):
        reranker.rank("a query", documents, top_k=0)


def test_prompts(reranker: Reranker) -> None:
    assert reranker.prompts == {}
    by_hand = reranker.predict([("ask: this", "that")])
    assert np.array_equal(reranker.predict([("this", "that")], prompt="ask: "), by_hand)
    prompted = Reranker(folder("rerank-bert"), prompts={"ask": "ask: "}, default_prompt_name="ask")
    assert np.array_equal(prompted.predict([("this", "that")]), by_hand)
    assert not np.array_equal(prompted.predict([("this", "that")], prompt=""), by_hand)
    with pytest.raises(InvalidArgumentError, match="prompt_name"):
        reranker.predict(PAIRS, prompt_name="query")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_the_same_settings(duplicate) -> None:
    reranker = Reranker(folder("rerank-bert"), max_length=20, activation_fn="identity", prompts={"a": "b"})
    other = duplicate(reranker)
    assert (other.max_length, other.activation_fn, other.prompts) == (20, "identity", {"a": "b"})
    long = [("word " * 30, "text " * 30)]
    assert np.array_equal(other.predict(long), reranker.predict(long))
    other.max_length = 30
    other.prompts["c"] = "d"
    assert (reranker.max_length, reranker.prompts) == (20, {"a": "b"})


def saying(path: Path, activation: object) -> Path:
    """A folder whose activation is another."""
    shutil.copytree(folder("rerank-bert"), path, copy_function=shutil.copyfile)
    settings = path / "config_sentence_transformers.json"
    said = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps({**said, "activation_fn": activation}), encoding="utf-8")
    return path


@pytest.mark.parametrize("named", ["mypackage.Own", "torch.nn.modules.activation.GLU", 3])
def test_the_callers_activation_counts_and_the_folders_is_not_read(reranker: Reranker, tmp_path: Path, named) -> None:
    place = saying(tmp_path / "model", named)
    with pytest.raises((UnsupportedModelError, ModelFormatError), match="activation_fn"):
        Reranker(place)
    logits = reranker.predict(PAIRS, activation_fn="identity")
    for given, scores in {"identity": logits, "tanh": np.tanh(logits), (lambda x: 2 * x): 2 * logits}.items():
        own = Reranker(place, activation_fn=given)
        assert own.activation_fn is given
        np.testing.assert_allclose(own.predict(PAIRS), scores, atol=1e-7)
        np.testing.assert_allclose(copy.copy(own).predict(PAIRS), scores, atol=1e-7)
        own.activation_fn = "softsign"
        again = pickle.loads(pickle.dumps(own))
        assert again.activation_fn == "softsign"
        np.testing.assert_allclose(again.predict(PAIRS), logits / (1 + np.abs(logits)), atol=1e-7)
        own.save(tmp_path / "saved")
        assert Reranker(tmp_path / "saved").activation_fn == "softsign"


def test_the_folder_names_an_activation_of_torchs(reranker: Reranker, tmp_path: Path) -> None:
    logits = reranker.predict(PAIRS, activation_fn="identity").astype(np.float64)
    formulas = {"Tanh": np.tanh(logits), "LogSigmoid": -np.log1p(np.exp(-logits)), "ReLU": np.maximum(logits, 0)}
    for name, scores in formulas.items():
        own = Reranker(saying(tmp_path / name, f"torch.nn.modules.activation.{name}"))
        assert own.activation_fn == name.lower()
        np.testing.assert_allclose(own.predict(PAIRS), scores, atol=1e-7)


def test_settings_are_checked(reranker: Reranker) -> None:
    for wrong in (0, -1, 141, "ten"):
        with pytest.raises(InvalidArgumentError, match="max_length"):
            reranker.max_length = wrong
    with pytest.raises(InvalidArgumentError, match="max_length"):
        Reranker(folder("rerank-bert"), max_length=1000)
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        reranker.predict(PAIRS, batch_size=0)
    with pytest.raises(DeviceError):
        reranker.predict(PAIRS, device="cuda")
    with pytest.raises(DeviceError):
        Reranker(folder("rerank-bert"), dtype="float16")
    with pytest.raises(TypeError):
        reranker.predict(PAIRS, no_such=1)


def test_a_closed_reranker_says_so(reranker: Reranker) -> None:
    assert "num_labels=1" in repr(reranker)
    with reranker:
        pass
    assert repr(reranker) == "Reranker(closed)"
    with pytest.raises(InferenceError, match="closed"):
        reranker.predict(PAIRS)


def test_folders_of_another_kind() -> None:
    with pytest.raises(UnsupportedModelError, match="for Model"):
        Reranker(tiny("bert-mean-normalize").model)
    with pytest.raises(UnsupportedModelError, match="for Reranker"):
        Model(folder("rerank-bert"))


def test_progress(reranker: Reranker, capsys: pytest.CaptureFixture[str]) -> None:
    reranker.predict(PAIRS, show_progress_bar=True)
    assert "2/2" in capsys.readouterr().err
