"""Searching, mining and communities, against plain numpy."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from cases import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rushlight import Model, util
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

FUNCTIONS = {
    "cos_sim": util.cos_sim,
    "dot": util.dot_score,
    "euclidean": util.euclidean_sim,
    "manhattan": util.manhattan_sim,
}
PAIRWISE = {
    "cos_sim": util.pairwise_cos_sim,
    "dot": util.pairwise_dot_score,
    "euclidean": util.pairwise_euclidean_sim,
    "manhattan": util.pairwise_manhattan_sim,
}


def rows(most: int):
    """Rows of a few whole numbers: many ties."""
    shape = st.tuples(st.integers(0, most), st.just(3))
    return hnp.arrays(np.float32, shape, elements=st.sampled_from([-2, -1, 0, 1, 2, 0.5]))


def foreign(name: str):
    """The same function as one that the core does not know."""
    return functools.partial(FUNCTIONS[name])


def order(scores: np.ndarray) -> list[int]:
    return np.argsort(-scores, kind="stable").tolist()


def plain(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    if name == "cos_sim":
        a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
    if name in ("cos_sim", "dot"):
        return a @ b.T
    difference = np.abs(a[:, None] - b[None])
    return -np.sqrt((difference**2).sum(2)) if name == "euclidean" else -difference.sum(2)


@given(rows(6), rows(600), st.sampled_from(sorted(FUNCTIONS)))
@settings(deadline=None)
def test_scores_are_numpys(a, b, name):
    scores = FUNCTIONS[name](a, b)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, plain(name, a, b), atol=1e-5)
    if len(b) >= len(a):
        assert PAIRWISE[name](a, b[: len(a)]).tolist() == np.diag(scores[:, : len(a)]).tolist()
    if len(a) and len(b):
        assert FUNCTIONS[name](a[0], b[0]).shape == (1, 1)
        assert PAIRWISE[name](a[0], b[0]) == scores[0, 0]


@given(rows(6), rows(1200), st.integers(1, 20), st.sampled_from(sorted(FUNCTIONS)))
@settings(deadline=None)
def test_search_is_a_sort_cut_short(queries, corpus, top_k, name):
    scores = FUNCTIONS[name](queries, corpus)
    truth = [[(i, float(row[i])) for i in order(row)[:top_k]] for row in scores]
    for function in (name, FUNCTIONS[name], foreign(name)):
        found = util.semantic_search(queries, corpus, 4, 100, top_k=top_k, score_function=function)
        assert [[(hit["corpus_id"], hit["score"]) for hit in hits] for hits in found] == truth


@given(rows(40), st.integers(1, 60), st.sampled_from(sorted(FUNCTIONS)))
@settings(deadline=None)
def test_mining_finds_the_best_pairs_once(embeddings, max_pairs, name):
    scores = FUNCTIONS[name](embeddings, embeddings)
    pairs = [(i, j) for i in range(len(scores)) for j in range(i + 1, len(scores))]
    truth = [[float(scores[i, j]), i, j] for i, j in sorted(pairs, key=lambda pair: (-scores[pair], pair))][:max_pairs]
    for function in (name, foreign(name)):
        mined = util.paraphrase_mining_embeddings(embeddings, 7, 5, max_pairs, 40, function)
        assert mined == truth


def test_a_model_mines_its_sentences():
    model = Model(tiny("bert-mean-normalize").model)
    texts = ["the cat sat", "a dog ran", "the cat sat"]
    (score, i, j), *rest = util.paraphrase_mining(model, texts)
    assert (i, j, len(rest)) == (0, 2, 2)
    assert score == pytest.approx(1, abs=1e-6)
    assert util.paraphrase_mining(model, (text for text in texts)) == [[score, i, j], *rest]
    for wrong in ("abc", {"a": "b"}, {"a", "b"}, [3]):
        with pytest.raises(InvalidInputError, match=r"sentences|inputs"):
            util.paraphrase_mining(model, wrong)


@given(rows(30), st.sampled_from([-1.0, 0.5, 0.75, 0.99]), st.integers(1, 5))
@settings(deadline=None)
def test_communities_are_those_of_the_plain_rules(embeddings, threshold, least):
    scores = util.cos_sim(embeddings, embeddings)
    close = [[j for j in order(row) if row[j] >= np.float32(threshold)] for row in scores]
    taken: set[int] = set()
    truth = []
    for centre in sorted((i for i, c in enumerate(close) if len(c) >= least), key=lambda i: -len(close[i])):
        free = [i for i in close[centre] if i not in taken]
        if centre not in taken and len(free) >= least:
            truth.append([centre, *(i for i in free if i != centre)])
            taken.update(truth[-1])
    truth.sort(key=len, reverse=True)
    for batch_size in (1, 7, 1024, 2**70):
        assert util.community_detection(embeddings, threshold, least, batch_size) == truth


def test_progress_is_shown_in_batches(capsys):
    util.community_detection(np.eye(10), batch_size=4)
    assert capsys.readouterr().err == ""
    util.community_detection(np.eye(10), batch_size=4, show_progress_bar=True)
    assert "Embeddings: 100%" in capsys.readouterr().err


def test_a_score_of_nan_is_found_last():
    corpus = [[np.nan], [-np.inf], [np.nan], [2.0]]
    for function in ("dot", lambda a, b: a @ b.T):
        (hits,) = util.semantic_search([1.0], corpus, score_function=function)
        assert [hit["corpus_id"] for hit in hits] == [3, 1, 0, 2]


def test_nothing_to_search():
    assert util.semantic_search(np.empty((0, 3)), np.ones((2, 3))) == []
    assert util.semantic_search(np.ones((2, 3)), np.empty((0, 3))) == [[], []]
    assert util.semantic_search([[1.0, 2.0]], []) == [[]]
    assert util.semantic_search([], [[1.0, 2.0]]) == []
    assert util.semantic_search([], [[1.0]], score_function=lambda a, b: a @ b.T) == []
    assert util.paraphrase_mining_embeddings([]) == util.community_detection([]) == []


def test_fewer_than_the_smallest_community():
    assert util.community_detection(np.ones((9, 2))) == []
    assert util.community_detection(np.ones((10, 2))) == [list(range(10))]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda x: util.semantic_search(x, x[:, :2]),
            "corpus_embeddings: must be as wide as query_embeddings, 3, got 2",
        ),
        (lambda x: util.semantic_search(x, x, top_k=0), "top_k: must be at least 1"),
        (lambda x: util.semantic_search(x, x, 0), "query_chunk_size"),
        (lambda x: util.semantic_search(x, x, 1, 0), "corpus_chunk_size"),
        (lambda x: util.semantic_search(x, x, score_function="cosine"), "score_function: must be one of 'cos_sim'"),
        (lambda x: util.semantic_search(x, x, score_function=3), "score_function: must be a name or a callable"),
        (
            lambda x: util.semantic_search(x, x, score_function=lambda a, b: a),
            r"scores of shape \(2, 2\), got \(2, 3\)",
        ),
        (lambda x: util.paraphrase_mining_embeddings(x, max_pairs=0), "max_pairs"),
        (lambda x: util.paraphrase_mining_embeddings(x, top_k=0), "top_k"),
        (lambda x: util.community_detection(x, np.nan), "threshold: must be a number, got NaN"),
        (lambda x: util.community_detection(x, "high"), "threshold: must be a number, got 'high'"),
        (lambda x: util.community_detection(x, min_community_size=0), "min_community_size"),
        (lambda x: util.community_detection(x, batch_size=0), "batch_size: must be at least 1, got 0"),
        (lambda x: util.normalize_embeddings("text"), "embeddings: must be an array"),
        (lambda x: util.cos_sim(x, x[:, :1]), "b: must be as wide as a"),
        (lambda x: util.pairwise_cos_sim(x, x[:1]), "b: must have as many rows as a"),
        (lambda x: util.cos_sim("text", x), "a: must be an array"),
        (lambda x: util.quantize_embeddings(x, "int4"), "precision: must be one of"),
        (lambda x: util.quantize_embeddings(x[0], "int8"), "of one embedding needs ranges"),
        (lambda x: util.quantize_embeddings(x[:1], "uint8"), "of one embedding needs ranges"),
        (lambda x: util.quantize_embeddings(x, "int8", ranges=x[:1]), "ranges: must have shape"),
        (lambda x: util.quantize_embeddings(x, "int8", None, x[:, :1]), "calibration_embeddings: must be as wide"),
        (lambda x: util.truncate_embeddings(x, 0), "truncate_dim"),
    ],
)
def test_what_makes_no_sense_is_refused(call, said):
    with pytest.raises(InvalidArgumentError, match=said):
        call(np.eye(3, dtype=np.float32)[:2])


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(0, 5), st.integers(0, 40)), elements=st.floats(-(2.0**60), 2.0**60, width=32)
    )
)
@settings(deadline=None)
def test_normalized_embeddings_are_numpys(x):
    norms = np.maximum(np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True), 1e-12)
    unit = util.normalize_embeddings(x)
    assert unit.dtype == np.float32
    assert unit.shape == x.shape
    np.testing.assert_allclose(unit, x / norms, rtol=1e-7, atol=1e-45)


def test_smaller_embeddings():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [1e30, 0.0]])
    assert util.normalize_embeddings(x).tolist() == np.float32([[0.6, 0.8], [0, 0], [1, 0]]).tolist()
    assert util.normalize_embeddings(x[0]).shape == (2,)
    assert util.truncate_embeddings(x, 1).shape == (3, 1)
    assert util.truncate_embeddings(x, 9).shape == (3, 2)
    assert util.truncate_embeddings(x, None) is x
    assert util.quantize_embeddings(x, "ubinary").tolist() == [[192], [0], [128]]
    assert util.quantize_embeddings(x[0], "binary").tolist() == [64]
    ranges = [[0, 0], [2.55, 255]]
    assert util.quantize_embeddings([[1.275, 3], [9, 9]], "uint8", ranges).tolist() == [[127, 3], [255, 9]]
    assert util.quantize_embeddings([[0.5, 9.0]], "int8", None, [[0, 0], [1, 255]]).tolist() == [[-1, -119]]
