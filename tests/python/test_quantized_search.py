"""Searching corpora of int8 and of bits, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight import util
from rushlight.exceptions import InvalidArgumentError

FUNCTIONS = {
    "cos_sim": util.cos_sim,
    "dot": util.dot_score,
    "euclidean": util.euclidean_sim,
    "manhattan": util.manhattan_sim,
}
BITS = ("binary", "ubinary")
LEVELS = ("int8", "uint8")


@st.composite
def problems(draw):
    """Queries and a corpus of a few whole numbers, so that many distances and scores are equal."""
    dim = draw(st.integers(1, 20))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 4)), draw(st.sampled_from([0, 1, 5, 40, 9000])))
    queries, corpus = (numbers.integers(-2, 3, (n, dim)).astype(np.float32) for n in shape)
    return queries, corpus, draw(st.integers(1, 12)), draw(st.sampled_from(sorted(FUNCTIONS)))


def best(scores: np.ndarray, top_k: int) -> list[int]:
    return np.argsort(-scores, kind="stable")[:top_k].tolist()


def again(name: str, query: np.ndarray, rows: np.ndarray, candidates: list[int], top_k: int) -> list[dict]:
    """Score candidates again, plainly."""
    ids = sorted(candidates)
    scores = FUNCTIONS[name](query, rows[ids])[0] if ids else np.empty(0)
    return [{"corpus_id": ids[i], "score": float(scores[i])} for i in best(scores, top_k)]


def signs(rows: np.ndarray) -> np.ndarray:
    return np.where(rows > 0, 1, -1).astype(np.float32)


def numbers(levels: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Return what levels stand for."""
    steps = (ranges[1] - ranges[0]) / np.float32(255)
    levels = levels.astype(np.float32) + (128 if levels.dtype == np.int8 else 0)
    return ranges[0] + levels * np.where(steps == 0, np.float32(1), steps)


@given(problems(), st.sampled_from(BITS), st.integers(1, 4))
@settings(deadline=None)
def test_bits_are_found_by_distance_and_scored_again_by_the_queries(problem, precision, multiplier):
    queries, corpus, top_k, name = problem
    bits = util.quantize_embeddings(corpus, precision)
    differing = (signs(queries)[:, None] != signs(corpus)[None]).sum(2)
    candidates = [best(-row, multiplier * top_k) for row in differing]
    options = {"top_k": top_k, "score_function": name, "corpus_precision": precision, "rescore_multiplier": multiplier}
    for against, rows in ((None, signs(corpus)), (corpus, corpus), (corpus.astype(np.float64), corpus)):
        truth = [again(name, query, rows, ids, top_k) for query, ids in zip(queries, candidates, strict=True)]
        assert util.semantic_search(queries, bits, rescore_embeddings=against, **options) == truth


@given(problems(), st.sampled_from(BITS))
@settings(deadline=None)
def test_bits_alone_have_the_scores_of_ones_with_either_sign(problem, precision):
    queries, corpus, top_k, name = problem
    bits = util.quantize_embeddings(corpus, precision)
    options = {"top_k": top_k, "score_function": name, "corpus_precision": precision, "rescore": False}
    found = util.semantic_search(queries, bits, **options)
    differing = (signs(queries)[:, None] != signs(corpus)[None]).sum(2)
    assert [[hit["corpus_id"] for hit in hits] for hits in found] == [best(-row, top_k) for row in differing]
    for query, hits in zip(signs(queries), found, strict=True):
        truth = [float(FUNCTIONS[name](query, signs(corpus[hit["corpus_id"]]))[0, 0]) for hit in hits]
        assert [hit["score"] for hit in hits] == pytest.approx(truth, abs=1e-6)


@given(problems(), st.sampled_from(LEVELS))
@settings(deadline=None)
def test_levels_are_searched_as_the_numbers_that_they_stand_for(problem, precision):
    queries, corpus, top_k, name = problem
    ranges = np.stack([np.full(corpus.shape[1], -2), np.arange(corpus.shape[1]) % 5 - 2]).astype(np.float32)
    levels = util.quantize_embeddings(corpus, precision, ranges)
    rows = numbers(levels, ranges)
    everything = list(range(len(corpus)))
    truth = [again(name, query, rows, everything, top_k) for query in queries]
    options = {"top_k": top_k, "score_function": name, "corpus_precision": precision}
    for given_ in ({"ranges": ranges}, {"calibration_embeddings": ranges}, {"ranges": ranges.tolist()}):
        assert util.semantic_search(queries, levels, **given_, **options) == truth
    # A second time changes the scores; with a multiplier that takes all, the plain search's are found.
    found = util.semantic_search(
        queries, levels, ranges=ranges, rescore_embeddings=corpus, rescore_multiplier=9000, **options
    )
    assert found == util.semantic_search(queries, corpus, top_k=top_k, score_function=name)


def test_bits_are_scored_again_with_int8_or_a_file(tmp_path):
    rng = np.random.default_rng(0)
    corpus, queries = rng.standard_normal((3000, 64), np.float32), rng.standard_normal((5, 64), np.float32)
    bits = util.quantize_embeddings(corpus, "ubinary")
    ranges = np.stack([corpus.min(0), corpus.max(0)])
    levels = util.quantize_embeddings(corpus, "int8")
    options = {"corpus_precision": "ubinary", "rescore_multiplier": 300}
    found = util.semantic_search(queries, bits, ranges=ranges, rescore_embeddings=levels, **options)
    assert found == util.semantic_search(queries, numbers(levels, ranges))
    np.save(tmp_path / "corpus.npy", corpus)
    stored = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    found = util.semantic_search(queries, bits, rescore_embeddings=stored, **options)
    assert found == util.semantic_search(queries, corpus)


def test_queries_may_be_of_the_precision_of_the_corpus():
    rng = np.random.default_rng(1)
    corpus, queries = rng.standard_normal((50, 24), np.float32), rng.standard_normal((4, 24), np.float32)
    for precision in BITS:
        bits, packed = (util.quantize_embeddings(rows, precision) for rows in (corpus, queries))
        truth = util.semantic_search(signs(queries), bits, corpus_precision=precision, rescore=False)
        for rescore in (False, True):
            found = util.semantic_search(packed, bits, corpus_precision=precision, rescore=rescore)
            for hits, right in zip(found, truth, strict=True):
                assert [hit["corpus_id"] for hit in hits] == [hit["corpus_id"] for hit in right]
        assert util.semantic_search(packed[0], bits, corpus_precision=precision, rescore=False) == truth[:1]
        assert util.semantic_search(list(packed), bits, corpus_precision=precision, rescore=False) == truth
    ranges = np.stack([corpus.min(0), corpus.max(0)])
    for precision in LEVELS:
        levels, packed = (util.quantize_embeddings(rows, precision, ranges) for rows in (corpus, queries))
        options = {"corpus_precision": precision, "ranges": ranges}
        assert util.semantic_search(packed, levels, **options) == util.semantic_search(
            numbers(packed, ranges), levels, **options
        )


def test_nothing_to_search():
    ranges = [[0, 0], [1, 1]]
    assert util.semantic_search(np.ones((2, 2)), [], corpus_precision="binary") == [[], []]
    assert util.semantic_search(np.ones((2, 2)), [], corpus_precision="int8", ranges=ranges) == [[], []]
    assert util.semantic_search([], np.ones((2, 2), np.uint8), corpus_precision="ubinary") == []
    empty = np.empty((0, 1), np.uint8)
    assert util.semantic_search(np.ones((1, 2)), empty, corpus_precision="ubinary") == [[]]
    assert util.semantic_search(np.empty((0, 2)), np.ones((3, 1), np.uint8), corpus_precision="ubinary") == []


BYTES = np.ones((2, 3), np.uint8)
RANGES = np.float32([[0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("corpus", "options", "said"),
    [
        (BYTES, {"corpus_precision": "int4"}, "corpus_precision: must be one of 'float32', 'int8'"),
        (BYTES, {}, "corpus_precision: must name the precision of the bytes in corpus_embeddings, got 'float32'"),
        (np.eye(3), {"ranges": RANGES}, "ranges: need a quantized corpus"),
        (np.eye(3), {"calibration_embeddings": RANGES}, "calibration_embeddings: need a quantized corpus"),
        (np.eye(3), {"rescore_embeddings": RANGES}, "rescore_embeddings: need a quantized corpus"),
        (BYTES, {"corpus_precision": "uint8"}, "ranges: must be given for corpus_embeddings of uint8"),
        (BYTES, {"corpus_precision": "uint8", "ranges": RANGES[:1]}, r"ranges: must have shape \(2, 3\), got \(1, 3\)"),
        (
            BYTES,
            {"corpus_precision": "uint8", "calibration_embeddings": RANGES[:, :2]},
            r"calibration_embeddings: must have at least one row, and 3 columns, got shape \(2, 2\)",
        ),
        (BYTES, {"corpus_precision": "uint8", "calibration_embeddings": []}, "calibration_embeddings: must have at"),
        (BYTES, {"corpus_precision": "int8", "ranges": RANGES}, "must be int8 of shape .* for 'int8', got uint8"),
        (BYTES[:, :2], {"corpus_precision": "uint8", "ranges": RANGES}, "must have 3 bytes in a row for 3 dimensions"),
        (BYTES, {"corpus_precision": "ubinary"}, "must have 1 bytes in a row for 3 dimensions, got 3"),
        (BYTES[None], {"corpus_precision": "ubinary"}, r"for 'ubinary', got uint8 of shape \(1, 2, 3\)"),
        ([[1], [1, 2]], {"corpus_precision": "ubinary"}, "corpus_embeddings: must be an array of embeddings"),
        ([[1], [2]], {"corpus_precision": "ubinary"}, "must be uint8 .*, got int64"),
        (BYTES[:, :1], {"corpus_precision": "ubinary", "ranges": RANGES}, "ranges: are of int8 and uint8"),
        (BYTES[:, :1], {"corpus_precision": "ubinary", "score_function": max}, "score_function: can't be a callable"),
        (
            BYTES[:, :1],
            {"corpus_precision": "ubinary", "rescore_multiplier": 0},
            "rescore_multiplier: must be at least",
        ),
        (BYTES[:, :1], {"corpus_precision": "ubinary", "top_k": 0}, "top_k: must be at least 1"),
        (
            BYTES[:, :1],
            {"corpus_precision": "ubinary", "rescore_embeddings": np.eye(2)},
            r"rescore_embeddings: must have shape \(2, 3\) for this corpus, got \(2, 2\)",
        ),
        (
            BYTES[:, :1],
            {"corpus_precision": "ubinary", "rescore_embeddings": np.ones((3, 3))},
            r"rescore_embeddings: must have shape \(2, 3\) for this corpus, got \(3, 3\)",
        ),
        (
            BYTES[:, :1],
            {"corpus_precision": "ubinary", "rescore_embeddings": BYTES},
            "ranges: must be given for rescore_embeddings of uint8",
        ),
        (
            BYTES[:, :1],
            {"corpus_precision": "ubinary", "rescore_embeddings": np.eye(2, 3), "rescore": False},
            "rescore_embeddings: need rescore=True",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(corpus, options, said):
    with pytest.raises(InvalidArgumentError, match=said):
        util.semantic_search(np.eye(3)[:1], corpus, **options)


def test_quantized_queries_are_not_taken_for_numbers():
    with pytest.raises(
        InvalidArgumentError, match="corpus_precision: must name the precision of the bytes in query_embeddings"
    ):
        util.semantic_search(BYTES, np.eye(3))
    with pytest.raises(InvalidArgumentError, match="query_embeddings: must be int8"):
        util.semantic_search(BYTES, BYTES.astype(np.int8), corpus_precision="binary")
    with pytest.raises(InvalidArgumentError, match="embeddings: are quantized already"):
        util.quantize_embeddings(BYTES, "binary")


def test_bits_of_widths_that_fill_no_byte_are_those_of_the_embeddings_to_score_with():
    rng = np.random.default_rng(7)
    corpus, queries = (rng.standard_normal((n, 12)).astype(np.float32) for n in (20, 3))
    bits, asked = (util.quantize_embeddings(x, "ubinary") for x in (corpus, queries))
    options = {"corpus_precision": "ubinary", "score_function": "dot", "top_k": 20}
    found = util.semantic_search(asked, bits, rescore_embeddings=corpus, **options)
    signs = np.where(queries > 0, 1, -1).astype(np.float32)
    want = util.semantic_search(signs, corpus, score_function="dot", top_k=20)
    assert [[hit["corpus_id"] for hit in hits] for hits in found] == [
        [hit["corpus_id"] for hit in hits] for hits in want
    ]


def test_bits_of_widths_that_fill_no_byte_are_scored_again_with_int8():
    rng = np.random.default_rng(7)
    corpus, queries = (rng.standard_normal((n, 12)).astype(np.float32) for n in (20, 3))
    ranges = np.stack([corpus.min(0), corpus.max(0)])
    bits, asked = (util.quantize_embeddings(x, "binary") for x in (corpus, queries))
    levels = util.quantize_embeddings(corpus, "int8", ranges)
    options = {"corpus_precision": "binary", "ranges": ranges, "rescore_embeddings": levels, "rescore_multiplier": 20}
    assert util.semantic_search(asked, bits, **options) == util.semantic_search(signs(queries), numbers(levels, ranges))


def test_without_embeddings_to_score_with_the_last_bytes_other_bits_are_equal_dimensions():
    rng = np.random.default_rng(7)
    corpus, queries = (rng.standard_normal((n, 12)).astype(np.float32) for n in (20, 3))
    bits, asked = (util.quantize_embeddings(x, "ubinary") for x in (corpus, queries))
    filled, filled_queries = (np.pad(signs(x), ((0, 0), (0, 4)), constant_values=-1) for x in (corpus, queries))
    options = {"top_k": 20, "score_function": "dot"}
    found = util.semantic_search(asked, bits, corpus_precision="ubinary", rescore=False, **options)
    assert found == util.semantic_search(filled_queries, filled, **options)


@pytest.mark.parametrize("queries", [np.ones((1, 2), np.uint8), np.ones((1, 12))], ids=["bits", "numbers"])
@pytest.mark.parametrize(
    "rows", [3, "x", [[1.0, 2.0], [1.0]], [np.ones(2, np.int8), np.ones(3, np.int8)], np.ones((2, 2, 2))]
)
def test_what_are_no_embeddings_to_score_again_with(queries, rows):
    with pytest.raises(InvalidArgumentError, match="rescore_embeddings: must"):
        util.semantic_search(queries, np.ones((2, 2), np.uint8), corpus_precision="ubinary", rescore_embeddings=rows)
