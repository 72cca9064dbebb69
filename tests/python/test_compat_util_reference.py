"""`rushlight.compat.util` beside `sentence_transformers.util`, where that is installed."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rushlight import util as plain
from rushlight.compat import util
from rushlight.exceptions import UnsupportedFeatureError

theirs = pytest.importorskip("sentence_transformers.util")
torch = pytest.importorskip("torch")

SCORES = ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"]
MAXSIM = ["maxsim", "mean_maxsim", "maxsim_pairwise", "mean_maxsim_pairwise"]
X = np.random.default_rng(1).normal(size=(150, 6)).astype(np.float32)


def test_each_name_is_given_with_the_same_arguments_or_refused_with_a_reason():
    for name in theirs.__all__:
        if name not in util.__all__:
            with pytest.raises(UnsupportedFeatureError, match=rf"^rushlight\.compat\.util\.{name}: "):
                getattr(util, name)
        elif inspect.isfunction(ours := getattr(util, name)):
            parameters = [inspect.signature(f).parameters.values() for f in (ours, getattr(theirs, name))]
            for one, other in itertools.zip_longest(*parameters):
                defaults = [getattr(p.default, "__name__", p.default) for p in (one, other)]
                assert (one.name, one.kind, defaults[0]) == (other.name, other.kind, defaults[1]), name
    assert {name for name in util.__all__ if not hasattr(theirs, name)} == set()


KINDS = {
    "array": np.asarray,
    "list": lambda x: np.asarray(x).tolist(),
    "tensor": lambda x: torch.tensor(np.asarray(x)),
    "sparse": lambda x: torch.tensor(np.asarray(x)).to_sparse(),
    "half": lambda x: torch.tensor(np.asarray(x)).half(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*SCORES, "pytorch_cos_sim", *(f"pairwise_{name}" for name in SCORES)])
@pytest.mark.filterwarnings("ignore")
def test_scores_are_theirs(name, kind):
    for a, b in [(X[:9], X[9:18]), (X[0], X[1])]:
        a, b = KINDS[kind](a), KINDS[kind](b)
        expected, got = getattr(theirs, name)(a, b), getattr(util, name)(a, b)
        assert (type(got), got.shape, got.dtype) == (type(expected), expected.shape, expected.dtype)
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("width", [5, 6])
def test_angles_are_theirs(width):
    a, b = X[:75, :width], X[75:, :width]
    np.testing.assert_allclose(util.pairwise_angle_sim(a, b), theirs.pairwise_angle_sim(a, b), atol=1e-6)


@pytest.mark.parametrize("name", MAXSIM)
def test_late_interaction_is_theirs(name):
    queries, documents = [X[:3], X[3:4], X[4:8]], [X[9:14], X[:0], X[20:40]]
    pad = torch.nn.utils.rnn.pad_sequence
    padded = [pad([torch.tensor(rows) for rows in side], batch_first=True) for side in (queries, documents)]
    masks = [[1, 0, 1], [1], [0, 1, 1, 1]]
    for a, b, options in [
        (queries, documents, {}),
        ([torch.tensor(rows) for rows in queries], documents, {}),
        (queries[0], documents[0], {}),
        (*padded, {}),
        (*padded, {"b_mask": torch.ones(3, 20)}),
        (queries, documents, {"a_mask": [np.array(mask) for mask in masks], "length_normalize": True}),
    ]:
        got = getattr(util, name)(a, b, **options)
        np.testing.assert_allclose(got, getattr(theirs, name)(a, b, **options), rtol=1e-5, atol=1e-5)


def test_smaller_embeddings_are_theirs():
    ranges = np.vstack([X.min(0), X.max(0)]) / 2
    for precision in ("float32", "int8", "uint8", "binary", "ubinary"):
        for x, options in [
            (X, {}),
            (torch.tensor(X), {"ranges": ranges}),
            (list(X), {"calibration_embeddings": X[:120]}),
            ([X[:3], X[3:]], {}),
            (X[:0], {}),
        ]:
            got = util.quantize_embeddings(x, precision, **options)
            for one, other in itertools.zip_longest(got, theirs.quantize_embeddings(x, precision, **options)):
                assert one.dtype == other.dtype
                assert np.array_equal(one, other)
    t = torch.tensor(X)
    for one in (t, t[0]):
        kept = theirs.select_max_active_dims(one, 2)
        assert torch.equal(util.select_max_active_dims(one, 2), kept)
        assert torch.equal(util.select_max_active_dims(one.to_sparse(), 2), kept)
    assert torch.equal(
        util.select_max_active_dims([row.to_sparse() for row in t], 2), theirs.select_max_active_dims(t, 2)
    )
    for sparse in (t.to_sparse(), t.to_sparse_csr()):
        assert torch.allclose(util.euclidean_sim(sparse, t), util.euclidean_sim(t, t), atol=1e-5)
    assert torch.equal(util.truncate_embeddings(t, 2), t[:, :2])
    batch = {"ids": t, "name": "x"}
    assert util.batch_to_device(batch, "cpu") is batch


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_layouts_and_dtypes_are_kept_as_theirs(dtype):
    t = torch.tensor(X).to(getattr(torch, dtype))
    t[2] = 0
    for one in (t[:9], t[0], t[:9].relu().to_sparse(), t[0].relu().to_sparse()):
        ours, other = util.normalize_embeddings(one), theirs.normalize_embeddings(one)
        assert (ours.dtype, ours.layout, ours.shape) == (other.dtype, other.layout, other.shape)
        # A row of zeros stays one; theirs is NaN in float16.
        rtol = 1e-2 if dtype.endswith("16") else 1e-5
        torch.testing.assert_close(ours.to_dense(), other.to_dense().nan_to_num(), rtol=rtol, atol=1e-6)
    for one in (t[:9], t[0]):
        ours, other = util.select_max_active_dims(one, 2), theirs.select_max_active_dims(one, 2)
        torch.testing.assert_close(ours, other, rtol=1e-7, atol=0)
    array = X.astype("float64" if dtype == "bfloat16" else dtype)
    assert util.select_max_active_dims(array, 2).dtype == theirs.select_max_active_dims(array, 2).dtype


def rows(least: int):
    shape = st.tuples(st.integers(least, 40), st.just(3))
    return hnp.arrays(np.float32, shape, elements=st.sampled_from([-2, -1, 0.5, 1, 2]))


@given(rows(1), rows(1), st.integers(1, 50), st.integers(1, 9), st.sampled_from(SCORES))
@settings(deadline=None)
def test_search_finds_what_theirs_finds_but_for_ties(queries, corpus, top_k, chunk, name):
    arguments = chunk, 2 * chunk, top_k
    expected = theirs.semantic_search(queries, corpus, *arguments, getattr(theirs, name))
    found = util.semantic_search(queries, corpus, *arguments, getattr(util, name))
    scores = getattr(plain, name)(queries, corpus)
    for row, hits, others in zip(scores, found, expected, strict=True):
        np.testing.assert_allclose([hit["score"] for hit in hits], [hit["score"] for hit in others], atol=1e-5)
        for hit, other in zip(hits, others, strict=True):
            # The same row of the corpus, or one that ties with it.
            assert row[hit["corpus_id"]] == pytest.approx(row[other["corpus_id"]], abs=1e-5)


def test_sparse_tensors_are_searched_as_theirs_are():
    corpus = torch.tensor(np.maximum(X, 0)).to_sparse()
    for function in SCORES:
        found, expected = (
            module.semantic_search(corpus, corpus, 4, 70, 5, getattr(module, function)) for module in (util, theirs)
        )
        for hits, others in zip(found, expected, strict=True):
            np.testing.assert_allclose([hit["score"] for hit in hits], [hit["score"] for hit in others], atol=1e-3)


@given(rows(2), st.integers(1, 30), st.integers(1, 50), st.integers(1, 9), st.sampled_from(SCORES))
@settings(deadline=None)
def test_mining_finds_what_theirs_finds_but_for_ties(embeddings, max_pairs, top_k, chunk, name):
    # Ties at the cut by top_k decide which pairs are compared.
    top_k = max(top_k, len(embeddings))
    arguments = chunk, 2 * chunk, max_pairs, top_k
    expected = theirs.paraphrase_mining_embeddings(torch.tensor(embeddings), *arguments, getattr(theirs, name))
    mined = util.paraphrase_mining_embeddings(embeddings, *arguments, getattr(util, name))
    np.testing.assert_allclose([score for score, _, _ in mined], [score for score, _, _ in expected], atol=1e-5)
    scores = getattr(plain, name)(embeddings, embeddings)
    for score, i, j in expected:
        assert scores[i, j] == pytest.approx(score, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.6, 0.9]), st.integers(1, 12), st.integers(1, 99))
@settings(deadline=None, max_examples=50)
def test_communities_are_theirs(seed, threshold, least, batch_size):
    x = np.random.default_rng(seed).normal(size=(60, 4)).astype(np.float32)
    expected = theirs.community_detection(x, threshold, least, batch_size)
    assert util.community_detection(x, threshold, least, batch_size) == expected
