"""Several kinds of embeddings from one forward pass: the numbers of FlagEmbedding, and hybrid scores."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import HybridEmbeddings, Model, MultiVectorModel, SparseEmbeddings, SparseModel
from rushlight.exceptions import InvalidArgumentError, InvalidInputError, ModelFormatError

CASES = [DATA / "hybrid" / name for name in ("bgem3-heads", "bgem3-heads-half-dim16")]
KINDS = ["dense", "sparse", "multi_vector"]


def read(case: Path, name: str):
    return json.loads((case / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def m3() -> Model:
    return Model(CASES[0] / "model")


@pytest.fixture
def texts() -> list[str]:
    return read(CASES[0], "texts")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_kinds_are_the_references(case: Path) -> None:
    model, texts = Model(case / "model"), read(case, "texts")
    assert model.embedding_kinds == KINDS
    got = model.encode_all(texts)
    assert np.array_equal(got.dense, model.encode(texts))
    assert np.abs(got.dense - np.load(case / "expected64.npy")).max() < 1e-5
    for row, expected in zip(got.sparse, read(case, "expected_sparse"), strict=True):
        assert row.indices.tolist() == [token for token, _ in expected]
        assert np.abs(row.values - [weight for _, weight in expected]).max(initial=0) < 1e-5
    lengths = read(case, "meta")["lengths"]
    assert [len(vectors) for vectors in got.multi_vector[: len(lengths)]] == lengths
    vectors = np.concatenate(got.multi_vector[: len(lengths)])
    assert np.abs(vectors - np.load(case / "expected64_colbert.npy")).max() < 1e-5
    assert SparseModel(case / "model").encode(texts) == got.sparse
    for one, other in zip(MultiVectorModel(case / "model").encode_query(texts), got.multi_vector, strict=True):
        assert np.array_equal(one, other)


def test_a_single_text_has_its_rows_alone(m3: Model, texts: list[str]) -> None:
    single, several = m3.encode_all(texts[0]), m3.encode_all(texts)
    assert np.array_equal(single.dense, several.dense[0])
    assert isinstance(single.sparse, SparseEmbeddings)
    assert single.sparse == several.sparse[0]
    assert np.array_equal(single.multi_vector, several.multi_vector[0])
    scores = m3.hybrid_similarity(single, several)
    assert scores.shape == (1, len(texts))
    assert np.array_equal(scores, m3.hybrid_similarity(m3.encode_all([texts[0]]), several))


def test_hybrid_scores_are_those_of_compute_score(m3: Model, texts: list[str]) -> None:
    scores = read(CASES[0], "expected_scores")
    left, right = (m3.encode_all([texts[i] for i in side]) for side in zip(*scores["pairs"], strict=True))
    expected = scores["scores64"]
    for weights, name in [
        ({"dense": 1}, "dense"),
        ({"sparse": 0.3, "multi_vector": 0}, "sparse"),
        ([0, 0, 1], "colbert"),
        ((1, 1, 0), "sparse+dense"),
        (None, "colbert+sparse+dense"),
    ]:
        got = m3.hybrid_similarity_pairwise(left, right, weights=weights)
        assert got.dtype == np.float32
        assert np.allclose(got, expected[name], rtol=1e-5, atol=1e-5)
        assert np.array_equal(np.diag(m3.hybrid_similarity(left, right, weights=weights)), got)


def test_only_some_kinds(m3: Model, texts: list[str]) -> None:
    got = m3.encode_all(texts, kinds="sparse")
    assert (got.dense, got.multi_vector) == (None, None)
    both = m3.encode_all(texts, kinds=["dense", "multi_vector"])
    assert both.sparse is None
    assert m3.hybrid_similarity(got, got).shape == (len(texts), len(texts))
    with pytest.raises(InvalidArgumentError, match="sparse must be 0, got 1"):
        m3.hybrid_similarity(got, both, weights=[0, 1, 0])
    with pytest.raises(InvalidArgumentError, match="positive sum"):
        m3.hybrid_similarity(got, both)


def test_a_model_with_one_head(model: Model) -> None:
    assert model.embedding_kinds == ["dense"]
    got = model.encode_all(["a text"])
    assert (got.sparse, got.multi_vector) == (None, None)
    assert np.array_equal(got.dense, model.encode(["a text"]))
    with pytest.raises(InvalidArgumentError, match="no head for sparse; it has dense"):
        model.encode_all(["a text"], kinds=["dense", "sparse"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kinds": ["colbert"]}, "must be among dense, sparse, multi_vector"),
        ({"kinds": []}, "at least one kind"),
        ({"kinds": 3}, "kinds: must be a str or a list of str"),
        ({"truncation": "no"}, "truncation"),
        ({"max_active_dims": 0}, "max_active_dims"),
        ({"prompt_name": "no"}, "no prompt"),
        ({"role": "no"}, "role"),
    ],
)
def test_wrong_options(m3: Model, options, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        m3.encode_all(["a"], **options)


@pytest.mark.parametrize("weights", [[1, 2], "abc", [1, 2, "x"], {"colbert": 1}, [-1, 1, 1], [0, 0, 0], 1])
def test_wrong_weights(m3: Model, weights) -> None:
    embeddings = m3.encode_all(["a"])
    with pytest.raises(InvalidArgumentError, match="weights"):
        m3.hybrid_similarity(embeddings, embeddings, weights=weights)


def test_wrong_inputs(m3: Model) -> None:
    with pytest.raises(InvalidInputError, match=r"inputs\[1\]"):
        m3.encode_all(["a", 1])
    with pytest.raises(InvalidArgumentError, match="a: must be HybridEmbeddings, got ndarray"):
        m3.hybrid_similarity(np.ones(3), m3.encode_all(["a"]))


def test_truncation_and_limits(m3: Model, texts: list[str]) -> None:
    got = m3.encode_all(texts, truncate_dim=6, max_active_dims=2)
    norms = [np.linalg.norm(vectors, axis=1) for vectors in [got.dense, *got.multi_vector]]
    assert np.allclose(np.concatenate(norms), 1)
    assert {vectors.shape[1] for vectors in [got.dense, *got.multi_vector]} == {6}
    assert np.diff(got.sparse.indptr).max() == 2


def test_prompts_roles_and_warnings(m3: Model, caplog: pytest.LogCaptureFixture) -> None:
    m3.prompts = {"query": "the ", "document": ""}
    query = m3.encode_all(["weather"], role="query")
    assert np.array_equal(query.dense, m3.encode_all(["the weather"]).dense)
    assert np.array_equal(query.dense, m3.encode_query(["weather"]))
    m3.encode_all(["word " * 100], truncation="warn")
    assert "1 of 1 texts were cut to 48 tokens" in caplog.text


def test_results_print_and_pickle(m3: Model) -> None:
    got = m3.encode_all(["a", "b"])
    assert repr(got) == f"HybridEmbeddings(dense=(2, 32), sparse={got.sparse.shape}, multi_vector=2 texts)"
    again = pickle.loads(pickle.dumps(got))
    assert np.array_equal(again.dense, got.dense)
    assert again.sparse == got.sparse
    assert repr(HybridEmbeddings()) == "HybridEmbeddings(dense=None, sparse=None, multi_vector=None)"


def test_a_saved_model_keeps_its_heads(m3: Model, texts: list[str], tmp_path: Path) -> None:
    m3.save_pretrained(tmp_path)
    assert Model(tmp_path).encode_all(texts).sparse == m3.encode_all(texts).sparse
    (tmp_path / "sparse_linear.pt").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ModelFormatError, match=r"sparse_linear\.pt"):
        Model(tmp_path)


def test_the_command_writes_a_field_per_kind(command, m3: Model, tmp_path: Path) -> None:
    lines = ["one text", "another"]
    done = command("encode", CASES[0] / "model", "--kinds", *KINDS, "--chunk-size", 1, stdin="\n".join(lines))
    assert (done.status, done.err) == (0, "")
    rows = [json.loads(line) for line in done.out.splitlines()]
    got = m3.encode_all(lines)
    assert [row["text"] for row in rows] == lines
    assert np.array_equal(np.array([row["dense"] for row in rows], np.float32), got.dense)
    for i, row in enumerate(rows):
        assert row["sparse"]["indices"] == got.sparse[i].indices.tolist()
        assert np.array_equal(np.array(row["sparse"]["values"], np.float32), got.sparse[i].values)
        assert np.array_equal(np.array(row["multi_vector"], np.float32), got.multi_vector[i])
    out = tmp_path / "out.npy"
    done = command("encode", CASES[0] / "model", "--kinds", "dense", "-o", out, stdin="a")
    assert (done.status, np.load(out).shape) == (0, (1, 32))
    done = command("encode", CASES[0] / "model", "--kinds", "dense", "sparse", "-o", tmp_path / "two.npy", stdin="a")
    assert "npy: has rows of the same length only" in done.error
    done = command("encode", CASES[0] / "model", "--kinds", "dense", "--chunk", 8, stdin="a")
    assert "--chunk" in done.error
    done = command("encode", tiny("bert-mean-normalize").model, "--kinds", "sparse", stdin="a")
    assert "no head for sparse" in done.error
    done = command("encode", CASES[0] / "model", "--kinds", "dense", "--precision", "binary", stdin="a")
    assert "--precision binary" in done.error


def test_info_shows_the_kinds(command) -> None:
    done = command("info", CASES[0] / "model", "--json")
    told = json.loads(done.out)
    assert (told["kind"], told["embedding_kinds"]) == ("Model", KINDS)
