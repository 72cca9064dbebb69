"""`SparseEmbeddings` of any arrays: a typed error, or rows that all their views agree on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from cases import DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight import SparseEmbeddings, SparseModel
from rushlight._sparse_scores import pairwise
from rushlight.exceptions import InvalidArgumentError

MODEL = SparseModel(DATA / "sparse" / "splade-bert-max" / "model")
NUMBERS = st.integers(-2, 9) | st.sampled_from([2**31 - 1, 2**31, 2**32 + 1, 2**63 - 1, -(2**63), 2**63, 2**70])
ANY = NUMBERS | st.floats(-3, 9) | st.booleans() | st.none() | st.text(max_size=2)
DTYPES = st.sampled_from(["int64", "int32", "uint64", "uint8", "float64", "bool", "object"])


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Lists and arrays, mostly of small integers."""
    items: list[Any] = draw(st.lists(st.integers(0, 5), max_size=6) | st.lists(ANY, max_size=6))
    if draw(st.booleans()):
        return sorted(items, key=str)
    try:
        return np.array(items, draw(DTYPES))
    except (TypeError, ValueError, OverflowError):
        return items


@st.composite
def valid(draw: st.DrawFn) -> tuple[list[int], list[int], list[float], tuple[int, int]]:
    """Arrays that fit together."""
    rows = draw(st.lists(st.sets(st.integers(0, 7), max_size=5), max_size=4))
    indices = [column for row in rows for column in sorted(row)]
    values = draw(st.lists(st.floats(-8, 8, width=32), min_size=len(indices), max_size=len(indices)))
    return [0, *np.cumsum([len(row) for row in rows], dtype=int).tolist()], indices, values, (len(rows), 8)


@given(
    indptr=arrays(), indices=arrays(), values=arrays(), shape=st.tuples(NUMBERS, NUMBERS) | st.lists(ANY, max_size=3)
)
@settings(max_examples=400, deadline=None)
def test_any_arrays_are_refused_or_kept_as_they_are(indptr: Any, indices: Any, values: Any, shape: Any) -> None:
    try:
        embeddings = SparseEmbeddings(indptr, indices, values, shape)
    except InvalidArgumentError:
        return
    assert embeddings.indptr.tolist() == list(indptr)
    assert embeddings.indices.tolist() == list(indices)
    assert len(list(embeddings)) == shape[0]
    if shape[1] < 100:
        assert embeddings.to_dense().shape == tuple(shape)


@given(given=valid())
@settings(max_examples=100, deadline=None)
def test_rows_dense_arrays_and_scores_agree(given: tuple[Any, Any, Any, tuple[int, int]]) -> None:
    embeddings = SparseEmbeddings(*given)
    indptr, indices, values, shape = given
    dense = np.zeros(shape, np.float32)
    for row, (start, end) in enumerate(itertools.pairwise(indptr)):
        dense[row, indices[start:end]] = values[start:end]
    assert np.array_equal(embeddings.to_dense(), dense)
    for i, row in enumerate(embeddings):
        assert np.array_equal(row.to_dense(), dense[i : i + 1])
    assert embeddings[1:] == SparseEmbeddings(*given)[1:]
    scores = np.asarray(MODEL.similarity(embeddings, embeddings))
    assert np.abs(scores - dense @ dense.T).max(initial=0) <= 1e-4
    for i, row in enumerate(embeddings):
        assert np.array_equal(np.asarray(MODEL.similarity(row, embeddings)), scores[i : i + 1])


@pytest.mark.parametrize("columns", [8, 2**31, 2**62, 2**63 - 1])
def test_pairs_of_rows_of_any_width_are_compared(columns: int) -> None:
    embeddings = SparseEmbeddings([0, 1, 2, 4], [7, 3, 0, 7], [1.0, 2.0, 3.0, 4.0], (3, columns))
    assert pairwise("dot", embeddings, embeddings).tolist() == [1, 4, 25]


@pytest.mark.parametrize(
    ("indptr", "indices", "shape", "problem"),
    [
        ([0, 1], [0.5], (1, 4), "indices: must be integers of int32"),
        ([0, 1], [2**32 + 1], (1, 4), "indices: must be integers of int32"),
        ([0, 1], np.array([2**32 + 1]), (1, 4), "indices: must be integers of int32"),
        ([0.0, 1.2], [0], (1, 4), "indptr: must be integers of int64"),
        ([0, 2**63 - 1, -(2**63), 1], [0], (3, 4), "indptr: must rise"),
        ([], [], (-1, 4), "shape: must be sizes"),
        ([0], [], (0, -4), "shape: must be sizes"),
    ],
)
def test_numbers_that_a_conversion_would_change_are_refused(
    indptr: Any, indices: Any, shape: tuple[int, int], problem: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        SparseEmbeddings(indptr, indices, [1.0] * len(indices), shape)
