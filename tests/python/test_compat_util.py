"""`rushlight.compat.util`: the functions of sentence-transformers, by its names."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from rushlight import SparseEmbeddings
from rushlight import util as plain
from rushlight.compat import quantization, similarity_functions, util
from rushlight.compat.util import SimilarityFunction
from rushlight.exceptions import DeviceError, InvalidArgumentError, UnsupportedFeatureError

SCORES = ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"]
RNG = np.random.default_rng(1)
X = RNG.normal(size=(150, 6)).astype(np.float32)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("name", SCORES)
def test_scores_are_arrays_without_torch(name):
    scores = getattr(util, name)(X.tolist(), X[:3])
    assert isinstance(scores, np.ndarray)
    assert np.array_equal(scores, getattr(plain, name)(X, X[:3]))
    pairs = getattr(util, f"pairwise_{name}")(X, X[::-1])
    assert np.array_equal(pairs, getattr(plain, f"pairwise_{name}")(X, X[::-1]))


@pytest.mark.usefixtures("no_torch")
def test_names_by_habit_and_places_of_imports():
    assert util.pytorch_cos_sim(X, X).tolist() == plain.cos_sim(X, X).tolist()
    assert util.information_retrieval(X[:2], X, top_k=1) == plain.semantic_search(X[:2], X, top_k=1)
    assert quantization.quantize_embeddings is util.quantize_embeddings
    assert similarity_functions.SimilarityFunction is SimilarityFunction
    assert SimilarityFunction.to_similarity_fn("dot") is util.dot_score
    assert SimilarityFunction.to_similarity_pairwise_fn(SimilarityFunction.MAXSIM) is util.maxsim_pairwise
    assert SimilarityFunction.possible_values() == [f.value for f in SimilarityFunction]
    with pytest.raises(ValueError, match="'cos' is not a valid SimilarityFunction"):
        SimilarityFunction.to_similarity_fn("cos")


@pytest.mark.usefixtures("no_torch")
def test_search_mining_and_communities_are_those_of_rushlight():
    for function in (util.dot_score, "dot", lambda a, b: a @ b.T):
        found = util.semantic_search(X[:5], X, 2, 40, 3, function)
        assert [[hit["corpus_id"] for hit in hits] for hits in found] == [
            [hit["corpus_id"] for hit in hits]
            for hits in plain.semantic_search(X[:5], X, top_k=3, score_function="dot")
        ]
    with pytest.raises(InvalidArgumentError, match="score_function"):
        util.semantic_search(X, X, score_function=3)
    assert util.paraphrase_mining_embeddings(X, max_pairs=9) == plain.paraphrase_mining_embeddings(X, max_pairs=9)
    assert util.community_detection(X, 0.7, 3) == plain.community_detection(X, 0.7, 3)


@pytest.mark.usefixtures("no_torch")
def test_sparse_embeddings_and_columns_of_tables_are_taken():
    sparse = SparseEmbeddings([0, 1, 3], [2, 0, 1], [1.0, 2.0, 2.0], (2, 3))
    assert util.cos_sim(sparse, sparse).tolist() == pytest.approx(np.eye(2))
    assert util.manhattan_sim(sparse, sparse.to_dense()).tolist() == [[0, -5], [-5, 0]]
    column = np.empty(2, dtype=object)
    column[:] = [[0.0, 3.0], [4.0, 0.0]]
    assert util.dot_score(column, column).tolist() == [[9, 0], [0, 16]]


def sparse_of(dense: np.ndarray) -> SparseEmbeddings:
    starts = np.cumsum([0, *(dense != 0).sum(axis=1)])
    return SparseEmbeddings(starts, np.nonzero(dense)[1], dense[dense != 0], dense.shape)


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("name", SCORES)
def test_sparse_embeddings_are_compared_pair_by_pair_as_dense_ones_are(name):
    compare = getattr(util, f"pairwise_{name}")
    one, other = np.where(X > 0.5, X, 0), np.where(X[::-1] < 0.2, X[::-1], 0)
    one[3] = other[4] = 0
    expected = compare(one, other)
    for a, b in [(sparse_of(one), sparse_of(other)), (sparse_of(one), other), (list(sparse_of(one)), sparse_of(other))]:
        np.testing.assert_allclose(compare(a, b), expected, rtol=1e-5, atol=1e-6)
    for a, b in [(sparse_of(one)[7], sparse_of(other)[7]), (sparse_of(one)[7], other[7]), (one[7], other[7])]:
        assert compare(a, b).shape == ()
        assert compare(a, b).item() == pytest.approx(expected[7], rel=1e-5)
    assert compare(sparse_of(one)[7:8], sparse_of(other)[7]).shape == (1,)
    assert compare(sparse_of(one[:0]), sparse_of(other[:0])).shape == (0,)
    with pytest.raises(InvalidArgumentError, match="b: must have as many rows as a, 150, got 2"):
        compare(sparse_of(one), sparse_of(other[:2]))
    with pytest.raises(InvalidArgumentError, match="b: must have as many columns as a, 6, got 4"):
        compare(sparse_of(one), sparse_of(other[:, :4]))
    with pytest.raises(InvalidArgumentError, match="ascending columns within a row"):
        compare(SparseEmbeddings([0, 2], [1, 1], [1, 1], (1, 6)), one[:1])


@pytest.mark.usefixtures("no_torch")
def test_memory_for_pairs_and_norms_does_not_grow_with_the_width():
    wide = SparseEmbeddings([0, 2, 3, 3], [5, 2**31 - 2, 5], [3.0, 4.0, 7.0], (3, 2**31 - 1))  # dense: 24 GiB
    assert util.pairwise_cos_sim(wide, wide).tolist() == [1, 1, 0]
    assert util.pairwise_dot_score(wide, wide).tolist() == [25, 49, 0]
    assert util.pairwise_euclidean_sim(wide[:2], wide[1:]).tolist() == [-np.float32(np.sqrt(32)), -7]
    assert util.pairwise_manhattan_sim(wide[:2], wide[1:]).tolist() == [-8, -7]
    unit = util.normalize_embeddings(wide)
    assert unit == SparseEmbeddings(wide.indptr, wide.indices, [0.6, 0.8, 1.0], wide.shape)


@pytest.mark.usefixtures("no_torch")
def test_embeddings_keep_their_dtype():
    for dtype in ("float16", "float32", "float64"):
        x = X.astype(dtype)
        assert util.normalize_embeddings(x).dtype == util.select_max_active_dims(x, 2).dtype == dtype
        assert util.truncate_embeddings(x, 2).dtype == dtype
    assert util.normalize_embeddings([[3, 4]]).tolist() == util.normalize_embeddings(np.array([[3, 4]])).tolist()
    assert util.normalize_embeddings(np.array([[3, 4]])).dtype == np.float32


@pytest.mark.usefixtures("no_torch")
def test_a_row_that_was_asked_for_is_a_single_one():
    sparse = sparse_of(np.maximum(X, 0))
    assert util.select_max_active_dims(sparse[0], 2).shape == (6,)
    assert util.select_max_active_dims(sparse[:1], 2).shape == (1, 6)
    assert util.pairwise_dot_score(util.normalize_embeddings(sparse[0]), sparse[0]).shape == ()
    with pytest.raises(InvalidArgumentError, match="embeddings: sparse ones are not cut"):
        util.truncate_embeddings(sparse, 2)


@pytest.mark.usefixtures("no_torch")
def test_sparse_embeddings_are_searched_by_blocks():
    dense = np.maximum(X, 0)
    sparse = sparse_of(dense)
    for function in ("dot", util.dot_score, lambda a, b: a.to_dense() @ b.to_dense().T):
        for corpus in (sparse, dense):
            found = util.semantic_search(sparse[:9], corpus, 4, 33, 5, function)
            expected = plain.semantic_search(dense[:9], dense, top_k=5, score_function="dot")
            for hits, others in zip(found, expected, strict=True):
                assert [hit["corpus_id"] for hit in hits] == [hit["corpus_id"] for hit in others]
                assert [hit["score"] for hit in hits] == pytest.approx([hit["score"] for hit in others], rel=1e-5)
    assert util.semantic_search(sparse[:1], sparse[:0]) == [[]]
    for options, said in [({"score_function": 3}, "score_function"), ({"top_k": 0}, "top_k")]:
        with pytest.raises(InvalidArgumentError, match=said):
            util.semantic_search(sparse, sparse, **options)
    with pytest.raises(InvalidArgumentError, match="as wide"):
        util.semantic_search(sparse, dense[:, :2])


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"e": list(X), "a": X[:, 0]})
    assert np.array_equal(util.cos_sim(frame["e"], X), util.cos_sim(X, X))
    assert np.array_equal(util.cos_sim(frame[["a"]], frame[["a"]]), util.cos_sim(X[:, :1], X[:, :1]))
    assert util.semantic_search(frame["e"], frame["e"]) == plain.semantic_search(X, X)


@pytest.mark.usefixtures("no_torch")
def test_late_interaction_counts_what_the_masks_let():
    query, document = X[:3], X[3:7]
    scores = (query @ document.T).max(axis=1)
    padded = np.stack([np.vstack([query, np.zeros((2, 6), np.float32)])])
    for a in (query, [query], [query.tolist()], padded):
        assert util.maxsim(a, document).item() == pytest.approx(scores.sum(), rel=1e-5)
        assert util.mean_maxsim_pairwise(a, [document]).item() == pytest.approx(scores.mean(), rel=1e-5)
    masked = util.maxsim([query], [document], a_mask=[[1, 0, 1]], b_mask=[[True, True, False, False]])
    assert masked.item() == pytest.approx((query[[0, 2]] @ document[:2].T).max(axis=1).sum(), abs=1e-5)
    assert util.maxsim(query, document, a_mask=[1, 0, 0], chunk_elements=1, device="cpu").item() == pytest.approx(
        scores[0]
    )
    twice = util.maxsim([query, query], [document], a_mask=[[1, 0, 0]])
    assert twice.tolist() == [[pytest.approx(scores[0])]] * 2
    assert util.maxsim(query, document, a_mask=np.array([[1, 0, 0]])).item() == pytest.approx(scores[0])
    # Masks of shorter texts may be filled up to the longest one's width.
    both = [query, query[:1]]
    for masks in ([[1, 1, 1], [1]], [[1, 1, 1], [1, 0, 0]], np.array([[1, 1, 1], [1, 0, 0]])):
        assert np.array_equal(util.maxsim(both, document, a_mask=masks), util.maxsim(both, document))
        assert np.array_equal(util.maxsim(document, both, b_mask=masks), util.maxsim(document, both))
    assert util.maxsim(query, np.empty((0, 6))).item() == np.float32(-1e9)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: util.maxsim(X, X, a_mask=[0.5] * len(X)), InvalidArgumentError, r"a_mask\[0\]: must be 0 or 1"),
        (lambda: util.maxsim(X, X, b_mask=[1]), InvalidArgumentError, r"b_mask\[0\]: must be 0 or 1"),
        (lambda: util.maxsim([X, X], X, a_mask=np.ones((3, 150))), InvalidArgumentError, "a_mask: must be one for"),
        (lambda: util.maxsim(X, X, a_mask=np.ones(151)), InvalidArgumentError, r"a_mask\[0\]: must be of 150 tokens"),
        (lambda: util.maxsim([X[:2], X[:5]], X, a_mask=np.zeros((2, 6))), InvalidArgumentError, "of 5 tokens.* got 6"),
        (lambda: util.maxsim_pairwise(X, X, b_mask=[[1] * 151]), InvalidArgumentError, r"b_mask\[0\]: must be of 150"),
        (
            lambda: util.maxsim(X, [X[:2], X[:3]], b_mask=np.ones((2, 3))),
            InvalidArgumentError,
            r"\[0\]: .* 0 after the 2",
        ),
        (
            lambda: util.mean_maxsim([X[:2], X[:3]], X, a_mask=[[1] * 3]),
            InvalidArgumentError,
            r"\[0\]: .* 0 after the 2",
        ),
        (lambda: util.maxsim(X, X, chunk_elements=0), InvalidArgumentError, "chunk_elements"),
        (lambda: util.maxsim(X, X, device="cuda"), DeviceError, "'cuda'"),
        (lambda: util.maxsim(3, X), InvalidArgumentError, "a: must be a list of arrays"),
        (lambda: util.pairwise_angle_sim(X, X[:1]), InvalidArgumentError, "y: must have the shape of x"),
        (lambda: util.select_max_active_dims(X, 0), InvalidArgumentError, "max_active_dims"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.usefixtures("no_torch")
def test_smaller_embeddings():
    parts = [X[:3], X[3:10], X[10:]]
    for precision in ("float32", "int8", "uint8", "binary", "ubinary"):
        whole = util.quantize_embeddings(X, precision)
        assert np.array_equal(whole, plain.quantize_embeddings(X, precision))
        several = util.quantize_embeddings(parts, precision)
        assert [len(part) for part in several] == [3, 7, 140]
        assert np.array_equal(np.concatenate(several), whole)
    assert np.array_equal(util.normalize_embeddings(X), plain.normalize_embeddings(X))
    assert util.truncate_embeddings(X, 2).shape == (150, 2)
    assert util.select_max_active_dims([[1.0, -3.0, 2.0, 0.0]], 2).tolist() == [[0, -3, 2, 0]]
    assert util.select_max_active_dims(X[0], 6).tolist() == X[0].tolist()
    assert util.select_max_active_dims(X, None) is X


def test_a_handler_writes_between_progress_bars(capsys):
    util.LoggingHandler().handle(logging.makeLogRecord({"msg": "said %d", "args": (1,)}))
    assert capsys.readouterr().out == "said 1\n"


def test_functions_without_a_reason_are_plainly_absent():
    assert not hasattr(util, "no_such_name")
    with pytest.raises(UnsupportedFeatureError, match="does not train"):
        from rushlight.compat.util import mine_hard_negatives  # noqa: F401


def test_versions_of_packages_that_a_model_asks_for(caplog, monkeypatch):
    util.check_version_requirements(None)
    util.check_version_requirements({"python": ">=3", "numpy": {"specifier": ">=1"}, "pytest": ""})
    wanted = {"numpy": ">=999", "no-such-package": {"specifier": ">=1", "reason": "It is new."}, "python": ">=99"}
    with pytest.raises(ImportError) as error:
        util.check_version_requirements(wanted, "a/model")
    lines = str(error.value).splitlines()
    assert lines[0] == "'a/model' requires:"
    assert lines[1].startswith("- numpy>=999, but numpy==")
    assert lines[2] == "- no-such-package>=1, but it is not installed. It is new."
    assert lines[3].startswith("- python>=99, but python==")
    assert lines[4] == 'pip install -U "numpy>=999" "no-such-package>=1"'
    monkeypatch.setattr(np, "__version__", "2.0.unknown")
    for unread in ({"numpy": "999"}, {"numpy": 999}, ["numpy>=999"], {"numpy": ">=1"}):
        util.check_version_requirements(unread)
    assert len(caplog.messages) == 4


def test_documents_without_tokens_are_logged(caplog):
    vectors = np.ones((2, 3, 4), dtype=np.float32)
    mask = np.array([[1, 1, 1], [0, 0, 0]])
    assert (util.maxsim(vectors, vectors, b_mask=mask)[:, 1] == -1e9).all()
    assert "keep_only_token_ids" in caplog.text
    with pytest.raises(TypeError, match="a_mask"):
        util.maxsim(vectors, vectors, a_mask="not a mask")
